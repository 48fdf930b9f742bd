"""What the pipeline costs, measured. Each script prints a table and ends with one line of JSON."""
