"""Rehearsals: each procedure on a fresh sandbox that has the platform's real schema and rows in it."""
