"""The page of a time-lapse: what retraining on evidence changed, week by week, and what that was worth."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from include.lifecycle.reporting import charts
from include.lifecycle.reporting.pages import Cell, Page, Section, Status, Table, Verdict, percent, render
from include.models.churn import CHURN
from include.models.churn.decisions import HIGH_RISK, KEPT_MONTHS, OFFER_DAYS
from include.time_lapse.figures import COMPARED_WEEKS, NEAR, Recovery, WeekFigures, recovery
from include.time_lapse.lives import Life, Story
from include.time_lapse.weeks import DAYS, Span, Week

TITLE = "Half a year in minutes: a model that is trained again when its reports ask for it"
_LOOP, _ALONE = charts.LINES
_BACK = "The loop brought the model back"
_ACTIONS = {"train": "to train", "wait": "to wait", "block": "that nothing may be trained"}


def render_story(story: Story) -> str:
    """The page, self-contained."""
    return render(
        Page(
            title=TITLE,
            verdict=_verdict(story),
            sections=[
                _performance(story),
                _decisions(story.loop),
                _estimates(story.loop),
                _drift(story),
                _worth(story),
                _weeks(story),
            ],
            facts=_facts(story),
        )
    )


def recoveries(story: Story) -> tuple[Recovery, Recovery] | None:
    """With the loop and without; None where the world does not change, or changes before outcomes are known."""
    week, horizon = story.span.drift_week, horizon_weeks(story.span)
    if week is None or week <= horizon:
        return None
    return recovery(story.loop.figures, week, horizon), recovery(story.alone.figures, week, horizon)


def horizon_weeks(span: Span) -> int:
    """Whole weeks until the outcomes of a day are known."""
    return -(-span.outcome_days // DAYS)


def worth(life: Life) -> float:
    """What all offers of a life brought in, in USD."""
    return sum(week.worth for week in life.figures)


def _verdict(story: Story) -> Verdict:
    found = recoveries(story)
    gained = (
        f"The retention offers of {story.span.weeks} weeks brought in {_usd(worth(story.loop))} with the loop, "
        f"and {_usd(worth(story.alone))} without."
    )
    if found is None:
        return Verdict("neutral", "The world does not change within these weeks", gained)
    loop, alone = found
    status: Status = "good" if loop.has_returned and not alone.has_returned else "warning"
    if loop.has_returned:
        headline = "The model came back without the loop as well" if alone.has_returned else _BACK
    else:
        headline = "The loop did not bring the model back in time"
    return Verdict(
        status,
        headline,
        f"Average precision was {loop.before:.2f} before the competitor's offer. In the last {COMPARED_WEEKS} "
        f"weeks it was {loop.after:.2f} with retraining, and {alone.after:.2f} with the first model alone. "
        f"{gained}",
    )


def _performance(story: Story) -> Section:
    text = (
        "Average precision of each week's predictions, measured once all outcomes were known: the higher, the "
        "more of those who are called would have left. It falls before the offer, as a prediction is about the "
        f"{CHURN.label.horizon_days} days that follow it, and has returned where it is within {NEAR} of before. "
        "Triangles show when another version became champion."
    )
    figure = charts.draw(_draw_performance, story)
    return Section("Performance", text, figure=charts.to_svg(figure))


def _draw_performance(axes: Axes, story: Story) -> None:
    _draw_both(axes, story, "average_precision")
    changes = [week.number for week in story.loop.weeks if _is_promotion(week)]
    if changes:
        height = min(
            *_values(story.loop.figures, "average_precision"), *_values(story.alone.figures, "average_precision")
        )
        axes.plot(changes, [height] * len(changes), "^", color=charts.ACCENT, label="new champion")
    _mark_drift(axes, story.span)
    _label(axes, "average precision")


def _draw_both(axes: Axes, story: Story, name: str) -> None:
    for life, label, (colour, line) in ((story.loop, "with the loop", _LOOP), (story.alone, "without", _ALONE)):
        axes.plot(_numbers(life.figures), _values(life.figures, name), line, color=colour, label=label)


def _decisions(life: Life) -> Section:
    rows: list[list[Cell]] = [
        [week.number, str(week.last), _why(week), week.training.verdict, " ".join(week.training.reasons)]
        for week in life.weeks
        if week.training
    ]
    counts = {action: sum(week.decision.action == action for week in life.weeks) for action in _ACTIONS}
    told = ", ".join(f"{_times(count)} {_ACTIONS[action]}" for action, count in counts.items() if count)
    text = (
        f"At the end of each week the monitoring decided about retraining: {told}. The gate then compared the new "
        "version with the champion on customers and days that neither had learnt from."
    )
    table = Table(["week", "day", "asked for because", "verdict", "reasons of the gate"], rows)
    return Section("What was decided, and why", text, table=table if rows else None)


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _why(week: Week) -> str:
    """The reasons of a decision without those that say that nothing was found."""
    told = [reason for reason in week.decision.reasons if not reason.startswith(("None of", "That makes"))]
    return " ".join(told)


def _estimates(life: Life) -> Section:
    text = (
        "With the loop: what each week's report estimated from the scores alone, weeks before outcomes were "
        "known, and what was measured then. Scores cannot know a new reason to leave: the estimate stays high "
        "while the measured line falls. Weeks that did so much worse than estimated ask for a training."
    )
    figure = charts.draw(_draw_estimates, life)
    return Section("Estimated, and measured later", text, figure=charts.to_svg(figure))


def _draw_estimates(axes: Axes, life: Life) -> None:
    weeks, values = _numbers(life.figures), partial(_values, life.figures)
    low, high = values("estimated_low"), values("estimated_high")
    axes.fill_between(weeks, low, high, color=charts.SECOND, alpha=0.2, label="95 % interval of the estimate")
    axes.plot(weeks, values("estimated"), "--", color=charts.SECOND, label="estimated")
    axes.plot(weeks, values("average_precision"), color=charts.ACCENT, label="measured")
    _label(axes, "average precision")


def _drift(story: Story) -> Section:
    drifted = [week.number for week in story.loop.figures if week.drift == "drift"]
    found = f"in the weeks {', '.join(map(str, drifted))}" if drifted else "in no week"
    text = (
        "The distance of a week's scores from those of the champion's training, in standard deviations. With the "
        f"loop, the reports found drift {found}. An offer that changes who leaves, and not who the customers are, "
        "hardly shows in features and scores: that is why outcomes are compared with what was promised, too."
    )
    figure = charts.draw(_draw_drift, story)
    return Section("Drift", text, figure=charts.to_svg(figure))


def _draw_drift(axes: Axes, story: Story) -> None:
    _draw_both(axes, story, "score_distance")
    axes.axhline(CHURN.drift.numeric_threshold, color=charts.INK, linewidth=0.8, linestyle=":", label="limit")
    _mark_drift(axes, story.span)
    _label(axes, "distance of the scores")


def _worth(story: Story) -> Section:
    difference = worth(story.loop) - worth(story.alone)
    text = (
        f"The loop was worth {_usd(difference)} among about {story.company.customers:,} customers. The cost model "
        f"is that of the churn decisions: on the last day of each week, who has a risk of {percent(HIGH_RISK, 0)} "
        f"or more and has had no offer for {OFFER_DAYS} days is offered one, which costs one month's charges and "
        f"keeps one in three leavers, who then pay for {KEPT_MONTHS} months more. It is a calculation on what "
        "happened: in the sample world nobody stays because of an offer. It leaves out what trainings cost."
    )
    figure = charts.draw(_draw_worth, story)
    return Section("What it was worth", text, figure=charts.to_svg(figure))


def _draw_worth(axes: Axes, story: Story) -> None:
    for life, label, (colour, line) in ((story.loop, "with the loop", _LOOP), (story.alone, "without", _ALONE)):
        so_far = np.cumsum(_values(life.figures, "worth")) / 1000
        axes.plot(_numbers(life.figures), so_far, line, color=colour, label=label)
    _mark_drift(axes, story.span)
    _label(axes, "worth of all offers so far, in 1,000 USD")


def _weeks(story: Story) -> Section:
    columns = [
        "week",
        "leavers",
        "AP, loop",
        "AP, without",
        "version",
        "decision",
        "worth, loop",
        "worth, without",
    ]
    rows: list[list[Cell]] = [
        [
            week.number,
            percent(loop.leavers, 1),
            f"{loop.average_precision:.3f}",
            f"{alone.average_precision:.3f}",
            ", ".join(map(str, loop.versions)),
            week.decision.action,
            round(loop.worth),
            round(alone.worth),
        ]
        for week, loop, alone in zip(story.loop.weeks, story.loop.figures, story.alone.figures, strict=True)
    ]
    text = (
        "AP is average precision. Leavers: the share of customers who left within 30 days of a prediction. Worth: "
        "what the week's offers brought in, in USD."
    )
    return Section("Week by week", text, table=Table(columns, rows))


def _facts(story: Story) -> dict[str, Cell]:
    span = story.span
    return {
        "Customers on the first day": story.company.customers,
        "Seed of the sample company": story.company.seed,
        "Weeks": f"{span.weeks}, from {span.days_of(1)[0]} to {span.days_of(span.weeks)[-1]}",
        "The competitor's offer": f"from {span.drift_starts} on, week {span.drift_week}"
        if span.drift_week
        else None,
        "Before": f"weeks whose outcomes all lie before the offer, {COMPARED_WEEKS} at most",
        "Scheduled trainings": "none; a training only where the monitoring asks for one",
        "Days of history for the first model": span.history_days,
    }


def _is_promotion(week: Week) -> bool:
    return week.training is not None and week.training.verdict in ("promote", "refresh")


def _mark_drift(axes: Axes, span: Span) -> None:
    if span.drift_week is not None:
        axes.axvline(span.drift_week, color=charts.INK, linewidth=0.8, linestyle="--", label="competitor's offer")


def _label(axes: Axes, title: str) -> None:
    axes.set_xlabel("week")
    axes.set_ylabel(title)


def _numbers(figures: Iterable[WeekFigures]) -> list[int]:
    return [week.number for week in figures]


def _values(figures: Iterable[WeekFigures], name: str) -> NDArray[np.float64]:
    """A figure of each week, NaN where it is missing."""
    return np.array([getattr(week, name) for week in figures], dtype=float)


def _usd(amount: float) -> str:
    return f"{amount:,.0f} USD"
