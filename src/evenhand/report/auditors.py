"""Which figures of a report inform which clauses that auditors ask about. None of it is a claim of compliance."""

from __future__ import annotations

CLAUSES = (
    (
        "EU AI Act (Regulation 2024/1689), Article 13(3)(b)",
        "instructions for use: performance regarding specific persons or groups of persons",
        "For whom: scores and deviations of each identity with intervals; impact ratio",
    ),
    (
        "EU AI Act, Annex IV(2)(g)",
        "validation and testing procedures, metrics, potentially discriminatory impacts, test logs",
        "On what, What is missing, How to reproduce: items, judges, settings, intervals, answers word by word",
    ),
    (
        "EU AI Act, Article 15",
        "accuracy, and metrics for it, declared",
        "Scores on utility with intervals; How right the judges are",
    ),
    (
        "EU AI Act, Article 72",
        "monitoring after the system is on the market",
        "The gate: limits, decisions and error over all looks; comparisons between releases",
    ),
    (
        "NIST AI RMF 1.0, MEASURE 2.11",
        "fairness and bias are evaluated and results documented",
        "For whom, On what: personalization bias corrected for noise, with test and interval",
    ),
    (
        "NIST AI RMF 1.0, MEASURE 2.1 and 2.5",
        "test sets, metrics and tools documented; validity, reliability and limits of generalising",
        "What is missing, How right the judges are, How to reproduce; what intervals are about",
    ),
    (
        "NIST AI RMF 1.0, MEASURE 2.6 and 2.10",
        "safety and privacy risks are evaluated",
        "Scores on safety; what is given away of sensitive facts, where memories were asked about",
    ),
    (
        "ISO/IEC 42001:2023, Annex A.5.4",
        "impact on individuals and groups of individuals is assessed",
        "For whom; By risk",
    ),
    (
        "ISO/IEC 42001:2023, Annex A.6.2.4",
        "verification and validation of the system, with criteria",
        "The gate; How sure; How to reproduce",
    ),
)
NOTE = (
    "A pointer for those who write such documents, not a claim that anything is complied with: whether a clause "
    "applies, and whether these figures are enough for it, is for whoever is responsible to decide. The study covers "
    "its own items, identities and language alone."
)
