"""What a dataset and a model are made of where nothing special is needed: rules, features, labels, estimators.

`make new` writes a dataset and a model from these; each of them can be replaced by a function of one's own.
"""
