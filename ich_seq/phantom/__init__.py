"""Synthetic non-contrast head CT with bleeds of known place and volume.

`cohort` says what to make and makes it (`CohortSpec`, `render_study`, `write_cohort`); a study goes through `head` and `geometry`
(who lies how in which scanner), `scene` (`skull`, `brain`: distances on a coarse grid), `bleeds` and `mimics`, `paint` (HU and masks),
`scanner` (noise, streaks) and `writer` (DICOM, NIfTI, truth). `sheet` draws a contact sheet.
"""
