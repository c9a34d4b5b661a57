"""Stage one: HU -> windowed tiles -> six logits and one embedding per slice."""
