"""The service: one warm session, one queue of runs, and the part of Databricks' Jobs API that starts and shows them."""
