"""The database: tables, transactions, claims. Domain values leave this room; rows never do.

Lock order, everywhere: studies by id, then trials by number. Whatever changes a trial's *state* holds its study's row
locked (PostgreSQL: `FOR UPDATE`; SQLite: `BEGIN IMMEDIATE`, which locks the whole database), so counts, numbers and
revisions need no second thought. Reports and renewals lock the trial's row alone.
"""
