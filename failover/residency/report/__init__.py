"""The report on data residency for a period, in English and Indonesian. Pure."""
