"""The database: the only package with SQL. Rows become structs here; sqlite3's errors become
ours.
"""
