"""The six labels: their order, their weights in the competition's metric, their codes of terminology.

Nothing else in ichseq writes a label's name. Order as in the files of the RSNA 2019 challenge: five subtypes, then `any`, which is
their logical OR.

Source: RSNA Intracranial Hemorrhage Detection 2019 (Flanders et al. 2020, 10.1148/ryai.2020190211); SNOMED CT.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Label:
    """One of the six labels: `name` as in RSNA's files, `metric_weight` in the competition's log loss, SNOMED CT code."""

    name: str
    title: str
    abbreviation: str
    metric_weight: float
    snomed_code: str
    snomed_meaning: str


EPIDURAL = Label("epidural", "Epidural", "EDH", 1.0, "82999001", "Epidural hemorrhage")
INTRAPARENCHYMAL = Label("intraparenchymal", "Intraparenchymal", "IPH", 1.0, "274100004", "Cerebral hemorrhage")
INTRAVENTRICULAR = Label("intraventricular", "Intraventricular", "IVH", 1.0, "23276006", "Intraventricular hemorrhage")
SUBARACHNOID = Label("subarachnoid", "Subarachnoid", "SAH", 1.0, "21454007", "Subarachnoid hemorrhage")
SUBDURAL = Label("subdural", "Subdural", "SDH", 1.0, "35486000", "Subdural hemorrhage")
ANY = Label("any", "Any haemorrhage", "any", 2.0, "1386000", "Intracranial hemorrhage")

SUBTYPES = (EPIDURAL, INTRAPARENCHYMAL, INTRAVENTRICULAR, SUBARACHNOID, SUBDURAL)
LABELS = (*SUBTYPES, ANY)
SUBTYPE_NAMES = tuple(label.name for label in SUBTYPES)
LABEL_NAMES = tuple(label.name for label in LABELS)
METRIC_WEIGHTS = tuple(label.metric_weight for label in LABELS)
ANY_INDEX = LABELS.index(ANY)

RESEARCH_NOTICE = (
    "ichseq is research software that estimates the probability of intracranial haemorrhage on non-contrast head CT. "
    "It is not a medical device, is not cleared or approved by any authority, and must not be used for diagnosis, treatment "
    "or to delay the standard reading of any examination. A low score does not rule out haemorrhage."
)
