"""What a trained pipeline is worth: figures per label with intervals by patient, beside floors."""
