"""Writes the files of this folder, made up in the formats of real ones: `python tests/data/generate.py`."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path
from random import Random

from include.datasets.customers.sources import TELCO_COLUMNS
from include.datasets.market.calendar import NEW_YORK

FOLDER = Path(__file__).parent
FIRST, LAST = date(2016, 1, 4), date(2017, 12, 29)
SYMBOLS = {"aapl": 26.0, "amzn": 650.0, "googl": 760.0, "msft": 52.0, "tsla": 230.0}
UNTRADED = {"tsla": date(2016, 1, 4), "googl": date(2016, 7, 22)}
LACKING = {"tsla": date(2017, 2, 17)}
CLOSED = {"aapl": date(2016, 3, 25)}
"""Good Friday: the exchange was closed, and the file has a row of it."""

CUSTOMERS = 1500
_ADD_ONS = ("OnlineSecurity", "OnlineBackup", "DeviceProtection", "TechSupport", "StreamingTV", "StreamingMovies")


def prices(symbol: str, close: float, random: Random) -> list[str]:
    """The lines of a symbol's file: a walk whose volatility comes in clusters."""
    lines, log_volatility = ["Date,Open,High,Low,Close,Volume,OpenInt"], math.log(0.012)
    for day in sorted({*NEW_YORK.days(FIRST, LAST), *([CLOSED[symbol]] if symbol in CLOSED else [])}):
        log_volatility += 0.05 * (math.log(0.012) - log_volatility) + random.gauss(0, 0.12)
        opened, close = close, close * math.exp(random.gauss(0, math.exp(log_volatility)))
        high, low = max(opened, close) * 1.004, min(opened, close) * 0.996
        volume = 0 if UNTRADED.get(symbol) == day else int(math.exp(random.gauss(16, 0.3)))
        if LACKING.get(symbol) != day:
            lines.append(f"{day},{opened:.2f},{high:.2f},{low:.2f},{close:.2f},{volume},0")
    return lines


def customers(random: Random) -> list[str]:
    """The lines of a file like IBM's Telco churn data: who pays by the month and came lately leaves more often."""
    return [",".join((*TELCO_COLUMNS, "Churn")), *(_customer(number, random) for number in range(CUSTOMERS))]


def _customer(number: int, random: Random) -> str:
    contract = random.choices(("Month-to-month", "One year", "Two year"), (55, 21, 24))[0]
    tenure = (
        0 if number % 300 == 0 else min(72, 1 + int(random.expovariate(1 / (18 if contract[0] == "M" else 45))))
    )
    phone, internet = random.random() < 0.9, random.choice(("DSL", "Fiber optic", "Fiber optic", "No"))
    monthly = round(20 + 25 * (internet == "DSL") + 50 * (internet == "Fiber optic") + random.uniform(-2, 25), 2)
    risk = -0.6 - 0.045 * tenure + 0.7 * (internet == "Fiber optic")
    risk -= {"Month-to-month": 0, "One year": 1.2, "Two year": 2.4}[contract]
    left = random.random() < 1 / (1 + math.exp(-risk - 0.6))
    values = {
        "customerID": f"{number:04d}-MADEUP",
        "gender": random.choice(("Female", "Male")),
        "SeniorCitizen": str(int(random.random() < 0.16)),
        "Partner": _yes_no(random),
        "Dependents": _yes_no(random),
        "tenure": str(tenure),
        "PhoneService": "Yes" if phone else "No",
        "MultipleLines": _yes_no(random) if phone else "No phone service",
        "InternetService": internet,
        **{name: _yes_no(random) if internet != "No" else "No internet service" for name in _ADD_ONS},
        "Contract": contract,
        "PaperlessBilling": _yes_no(random),
        "PaymentMethod": random.choice(("Electronic check", "Mailed check", "Credit card (automatic)")),
        "MonthlyCharges": f"{monthly:.2f}",
        "TotalCharges": f"{monthly * tenure * random.uniform(0.9, 1.1):.2f}" if tenure else " ",
    }
    return ",".join((*(values[name] for name in TELCO_COLUMNS), "Yes" if left else "No"))


def _yes_no(random: Random) -> str:
    return random.choice(("Yes", "No"))


def main() -> None:
    """Write all files."""
    for symbol, close in SYMBOLS.items():
        text = "\n".join(prices(symbol, close, Random(symbol))) + "\n"
        (FOLDER / "ohlcv" / f"{symbol}.us.txt").write_text(text)
    (FOLDER / "telco-customer-churn.csv").write_text("\n".join(customers(Random("telco"))) + "\n")


if __name__ == "__main__":
    main()
