"""The names of the strategies, apart from `weights`, whose solvers take seconds to import."""

EQUAL_WEIGHT = "equal weight"
MINIMUM_VARIANCE = "minimum variance"
MAXIMUM_SHARPE = "maximum Sharpe"
RISK_PARITY = "risk parity"
STRATEGIES = (EQUAL_WEIGHT, MINIMUM_VARIANCE, MAXIMUM_SHARPE, RISK_PARITY)
