"""The schema against its migrations: their chain, the structure that each revision makes, and what does not fit."""
