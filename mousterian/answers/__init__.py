"""Answers from a fit: equivalence, rate, ratio, formula, plan, suggestion, audit, and their wording."""
