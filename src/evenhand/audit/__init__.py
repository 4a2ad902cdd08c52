"""What a judge is worth: against people (validate) and against irrelevant changes (audit)."""
