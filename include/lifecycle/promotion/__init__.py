"""From a candidate to a champion: registry, gate, ledger and model card."""
