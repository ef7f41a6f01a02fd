"""The 92 hostile inputs as a table, and what runs them."""
