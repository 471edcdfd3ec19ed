"""`make new`: the folders of a dataset and a model of one's own, from a CSV file."""
