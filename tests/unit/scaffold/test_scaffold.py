"""`make new`: what is found out of a CSV file, and what is said where it does not suffice."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

import polars as pl
import pytest
import yaml

from include.scaffold.__main__ import CATALOG, PROJECT, SETTINGS, main
from include.scaffold.columns import ScaffoldError, identifier, read_table
from include.scaffold.proposal import Proposal, Wish, propose
from include.scaffold.rendering import render, with_catalog_entries, with_source_variable

PANEL = "Day,Store ID,code,City,Sold,open,note\n" + "".join(
    f"2026-01-{day:02d},{store},00{day % 3},{('Bonn', 'Ulm')[store % 2]},{day + store}.5,"
    f"{('true', 'false')[day % 2]},n{day}{store}\n"
    for day in range(1, 31)
    for store in range(4)
)
SERIES = "date,load\n" + "".join(f"2026-01-{day:02d},{day}\n" for day in range(1, 31))
EVENTS = "date,loan,amount,paid\n" + "".join(
    f"2026-01-{1 + number // 10:02d},L{number},{number},{'no' if number % 5 else 'yes'}\n" for number in range(300)
)


def never(question: str, answers: list[str]) -> str:
    raise ScaffoldError(f"{question} {answers}")


def proposed(text: str, folder: Path, label: str = "", **given: str) -> Proposal:
    csv = folder / "data.csv"
    csv.write_text(text)
    return propose(Wish("shop", "sales", csv, label=label, **given), read_table(csv), never)


def test_columns_have_names_and_types(tmp_path: Path) -> None:
    table = proposed(PANEL, tmp_path, "Sold").table

    assert dict(table.types) == {
        "day": pl.Date(),
        "store_id": pl.Int64(),
        "code": pl.String(),
        "city": pl.String(),
        "sold": pl.Float64(),
        "open": pl.Boolean(),
        "note": pl.String(),
    }


def test_a_few_values_that_are_none_do_not_change_a_type(tmp_path: Path) -> None:
    text = SERIES.replace("2026-01-07,7", "2026-01-07,n/a")

    assert proposed(text, tmp_path, "load").table.types["load"] == pl.Int64()


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("Store ID", "store_id"),
        ("customerID", "customer_id"),
        ("label", "label_given"),
        ("dt", "dt_given"),
        ("2nd", "column_2nd"),
        ("Größe (m)", "grosse_m"),
        ("x²", "x2"),
        ("µg", "g"),
        ("from", "from_given"),
        ("Weekday", "weekday_given"),
        ("数量", "column_"),
        ("", "column_"),
    ],
)
def test_names_are_identifiers_that_the_engine_does_not_use(theirs: str, ours: str) -> None:
    assert identifier(theirs) == ours


def test_stores_over_many_days_are_a_panel(tmp_path: Path) -> None:
    found = proposed(PANEL, tmp_path, "Sold")

    assert (found.shape, found.key, found.date_column, found.label) == ("panel", ("store_id",), "day", "sold")
    assert not found.is_classification
    assert found.numeric == ("sold", "open")
    assert found.categorical == ("code", "city")
    assert (found.first_day, found.days, found.rows_per_day) == (date(2026, 1, 1), 30, 4.0)


def test_a_number_that_tells_rows_apart_by_chance_is_no_key(tmp_path: Path) -> None:
    header, *rows = PANEL.splitlines()
    text = f"{header},stock\n" + "".join(f"{row},{7 * number % 41}\n" for number, row in enumerate(rows))

    assert proposed(text, tmp_path, "Sold").key == ("store_id",)


def test_a_row_a_day_is_a_series(tmp_path: Path) -> None:
    found = proposed(SERIES, tmp_path, "load")

    assert (found.shape, found.key, found.value) == ("series", ("date",), "load")


def test_rows_that_are_all_new_are_events_whose_label_is_no_feature(tmp_path: Path) -> None:
    found = proposed(EVENTS, tmp_path, "paid", key="loan")

    assert (found.shape, found.yes, found.no, found.value) == ("events", "yes", "no", None)
    assert (found.numeric, found.categorical) == (("amount",), ())


@pytest.mark.parametrize(
    ("text", "given", "written"),
    [
        (PANEL, {"label": "Sold"}, "value_after"),
        (EVENTS, {"label": "paid", "key": "loan"}, "value_of_row"),
        (SERIES, {"label": "load"}, "value_after"),
        (PANEL, {"label": "open"}, "happens_within"),
    ],
    ids=["the next day's value", "the row's own", "a series", "any day of the horizon"],
)
def test_a_model_says_which_days_its_label_is_about(
    text: str, given: dict[str, str], written: str, tmp_path: Path
) -> None:
    spec = render(proposed(text, tmp_path, **given))["include/models/sales/__init__.py"]

    assert re.findall(r"label=(\w+)\(", spec) == [written]


@pytest.mark.parametrize(
    ("text", "forecast", "decimals"),
    [
        (SERIES, "load_forecast", 1),
        (SERIES.replace(",7\n", ",7.125\n"), "load_forecast", 3),
        (re.sub(r",", ",5,", SERIES).replace("5,load", "load_forecast,load"), "load_predicted", 1),
    ],
)
def test_a_forecast_has_a_column_of_its_own_rounded_as_the_file_is(
    text: str, forecast: str, decimals: int, tmp_path: Path
) -> None:
    spec = render(proposed(text, tmp_path, "load"))["include/models/sales/__init__.py"]

    assert f"{forecast}=forecast," in spec
    assert f'pl.col("score").round({decimals})' in spec


@pytest.mark.parametrize(
    ("text", "given", "sentence"),
    [
        (PANEL, {}, "Which column is to be predicted"),
        (PANEL, {"label": "sales"}, "no column 'sales'; it has"),
        (PANEL, {"label": "City", "key": "city"}, "KEY=city does not tell the rows of a day apart"),
        (PANEL, {"label": "note"}, "LABEL=note has 120 different texts"),
        (PANEL, {"label": "Store ID"}, "is the date or the key, so nothing to predict"),
        (PANEL, {"label": "Sold", "date": "City"}, "DATE=City has no dates like 2026-10-31"),
        ("when,sold\n31.12.2026,1\n", {"label": "sold"}, "No column of .* has dates like 2026-10-31"),
        ("a;b\n1;2\n", {"label": "b"}, "a CSV file with a header, commas and at least two columns"),
        ("date,a,A\n2026-01-01,1,2\n", {"label": "a"}, "columns whose names become the same"),
        (EVENTS, {"label": "paid"}, r"Which column is the key \(KEY=\)\?"),
    ],
)
def test_what_does_not_suffice_is_said(text: str, given: dict[str, str], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ScaffoldError, match=sentence):
        proposed(text, tmp_path, **given)


def test_the_catalog_has_one_more_dataset_and_model() -> None:
    text = with_catalog_entries((PROJECT / CATALOG).read_text(), "shop", "sales")

    assert "from include.datasets.shop import SHOP\n" in text
    assert "from include.models.sales import SALES\n" in text
    assert re.search(r"MARKET,\s*SHOP,", text)
    assert re.search(r"RETURNS,\s*SALES,", text)
    compile(text, CATALOG, "exec")


def test_the_settings_have_one_more_variable(tmp_path: Path) -> None:
    settings = proposed(PANEL, tmp_path, "Sold").source_settings()

    text = with_source_variable((PROJECT / SETTINGS).read_text(), "shop", settings | {"path": "/data/$1.csv"})

    [added] = [
        variable["variable_value"]
        for variable in yaml.safe_load(text)["airflow"]["variables"]
        if variable["variable_name"] == "shop_source"
    ]
    assert added["path"] == "/data/$$1.csv"
    assert added["columns"] == {"Day": "day", "Store ID": "store_id", "City": "city", "Sold": "sold"}
    assert json.dumps(added)


@pytest.mark.parametrize(
    ("dataset", "model", "sentence"),
    [
        ("Shop", "sales", "DATASET='Shop' is no name"),
        ("", "sales", "DATASET='' is no name"),
        ("market", "sales", "There is a dataset 'market' already"),
        ("shop", "churn", "There is a model 'churn' already"),
        ("shop", "shop", "are both 'shop'"),
    ],
)
def test_names_that_cannot_be_are_refused_and_nothing_is_written(
    dataset: str, model: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv = tmp_path / "data.csv"
    csv.write_text(PANEL)
    given = ["--dataset", dataset, "--model", model, "--csv", str(csv), "--label", "Sold"]

    assert main([*given, "--project", str(tmp_path)]) == 1

    assert sentence in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [csv]
