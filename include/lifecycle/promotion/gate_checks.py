"""What the gate asks of a candidate: each check is one function from the evidence to rows of a table.

A check that the spec does not ask for gives no row; one whose evidence is missing gives a row that refuses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Literal

from include.lifecycle.modelling.bootstrap import LEVEL
from include.lifecycle.numbers import distinct_texts
from include.lifecycle.promotion.gate_evidence import GateEvidence, SegmentGain
from include.lifecycle.reporting.pages import percent
from include.lifecycle.specs import GateLimits, GateSegments, Spec

BASELINE = "Baseline"
GAIN = "Gain over the champion"
REFRESH = "Routine refresh"


class CheckRow(Spec):
    """A check: what was asked, what was measured, and whether it passed; None where evidence is missing.

    `if_failed` says what follows: the candidate is refused, a person is asked, or nothing, where it only opens
    another way to become champion. Missing evidence refuses where it could have refused or asked.
    """

    name: str
    asked: str
    measured: str
    passed: bool | None
    sentence: str
    if_failed: Literal["refuse", "ask", "nothing"] = "refuse"

    @property
    def refuses(self) -> bool:
        """Whether the candidate cannot become champion because of it."""
        return self.if_failed != "nothing" and (
            self.passed is None or (not self.passed and self.if_failed == "refuse")
        )

    @property
    def asks(self) -> bool:
        """Whether a person must be asked because of it."""
        return self.if_failed == "ask" and self.passed is False

    @property
    def outcome(self) -> str:
        """What people read of it in a table."""
        if self.passed:
            return "passed"
        if self.asks:
            return "asks a person"
        if self.if_failed == "nothing":
            return "does not apply"
        return "missing" if self.passed is None else "failed"


Check = Callable[[GateEvidence], Iterator[CheckRow]]


def check_rows(evidence: GateEvidence) -> tuple[CheckRow, ...]:
    """The rows of all checks that were asked for."""
    if evidence.candidate_version == evidence.champion_version:
        return (_same_version(evidence),)
    asked = CHECKS if evidence.limits else _CHECKS_WITHOUT_LIMITS
    return tuple(row for check in asked for row in check(evidence))


def is_number(score: float | None) -> bool:
    """Whether something was measured and is finite."""
    return score is not None and math.isfinite(score)


def _same_version(evidence: GateEvidence) -> CheckRow:
    return CheckRow(
        name="Another version",
        asked="not the champion itself",
        measured=f"version {evidence.candidate_version}",
        passed=False,
        sentence=f"The candidate, version {evidence.candidate_version}, is the champion itself.",
    )


def _problems(evidence: GateEvidence) -> Iterator[CheckRow]:
    for problem in evidence.problems:
        yield CheckRow(
            name="Evidence",
            asked="complete, and from rows that nobody has learnt",
            measured="a problem",
            passed=None,
            sentence=problem,
        )


def _baseline(evidence: GateEvidence) -> Iterator[CheckRow]:
    own, baseline = evidence.candidate_score, evidence.baseline_score
    asked = "above the baseline"
    for who, score in (("candidate", own), ("baseline", baseline)):
        if not is_number(score):
            yield _missing(BASELINE, asked, f"{_title(evidence)} could not be measured for the {who}")
            return
    what = f"{_title(evidence)} on {evidence.holdout_rows:,} holdout rows"
    yield _above(BASELINE, what, own, baseline, whose="the baseline's ")


def _above(name: str, what: str, own: float | None, other: float | None, whose: str = "") -> CheckRow:
    """Whether the candidate's score is above another one; both are numbers."""
    passed, (first, second) = _number(own) > _number(other), distinct_texts([own, other])
    return CheckRow(
        name=name,
        asked=f"above {whose}{second}",
        measured=str(first),
        passed=passed,
        sentence=f"{what}: the candidate's {first} {_is(passed)} above {whose}{second}.",
    )


def _naive_models(evidence: GateEvidence) -> Iterator[CheckRow]:
    for naive in evidence.naive_models:
        name, asked = f"Naive model: {naive.name.replace('_', ' ')}", "above it"
        if not (is_number(naive.candidate_score) and is_number(naive.score)):
            yield _missing(name, asked, f"{_title(evidence)} beside the naive model {naive.name!r} is no number")
            continue
        what = f"{_title(evidence)} beside the naive model {naive.name!r}"
        yield _above(name, what, naive.candidate_score, naive.score)


def _gain(evidence: GateEvidence) -> Iterator[CheckRow]:
    asked = f"lower end of its interval above {evidence.min_gain:g}"
    if not evidence.has_champion_to_beat:
        sentence = evidence.champion_fault or "There was no champion before."
        measured = "no champion" if evidence.champion_version is None else "the champion cannot be used"
        yield CheckRow(name=GAIN, asked=asked, measured=measured, passed=True, sentence=sentence)
        return
    if not is_number(evidence.champion_score):
        yield _missing(GAIN, asked, f"{_title(evidence)} could not be measured for the champion")
        return
    if not is_number(evidence.gain_lower_bound):
        yield _missing(GAIN, asked, "The candidate's gain over the champion could not be measured")
        return
    passed = _number(evidence.gain_lower_bound) > evidence.min_gain
    yield CheckRow(
        name=GAIN,
        asked=asked,
        measured=_gain_text(evidence),
        passed=passed,
        sentence=(
            f"{_beside_champion(evidence)}, and the lower end of the {_confidence(evidence)} interval of the "
            f"candidate's gain, {_lower_end(evidence, evidence.min_gain)}, {_is(passed)} above the required gain "
            f"of {evidence.min_gain:g}."
        ),
    )


def _refresh(evidence: GateEvidence) -> Iterator[CheckRow]:
    limits, age = _limits(evidence), evidence.champion_age_days
    if limits.max_champion_age_days is None or not evidence.has_champion_to_beat or age is None:
        return
    margin, is_old = limits.refresh_margin, age > limits.max_champion_age_days
    is_no_worse = is_number(evidence.gain_lower_bound) and _number(evidence.gain_lower_bound) > -margin
    older = f"{age} days older than the candidate, {'more' if is_old else 'no more'} than"
    lower = _lower_end(evidence, -margin) if is_number(evidence.gain_lower_bound) else "unknown"
    yield CheckRow(
        name=REFRESH,
        asked=(
            f"champion more than {limits.max_champion_age_days} days older, and lower end of the gain's interval "
            f"above {-margin:g}"
        ),
        measured=f"{age} days; {lower}",
        passed=is_old and is_no_worse,
        sentence=(
            f"The champion is {older} the {limits.max_champion_age_days} after which one that is not worse may "
            f"replace it, and the lower end of the candidate's gain, {lower}, {_is(is_no_worse)} above "
            f"{-margin:g}."
        ),
        if_failed="nothing",
    )


def _distinct_scores(evidence: GateEvidence) -> Iterator[CheckRow]:
    asked, number = "more than one score", evidence.distinct_scores
    if number is None:
        yield _missing("Scores differ", asked, "The candidate's scores could not be counted")
        return
    passed = number > 1
    yield CheckRow(
        name="Scores differ",
        asked=asked,
        measured=f"{number:,} of {evidence.holdout_rows:,} rows",
        passed=passed,
        sentence=(
            f"The candidate gives {number:,} different scores."
            if passed
            else "The candidate gives all rows the same score, so it tells none from another."
        ),
    )


def _segments(evidence: GateEvidence) -> Iterator[CheckRow]:
    for asked in _limits(evidence).segments:
        found = [segment for segment in evidence.segments if segment.by == asked.by]
        yield _segment_row(evidence, asked, found)


def _segment_row(evidence: GateEvidence, segments: GateSegments, found: list[SegmentGain]) -> CheckRow:
    limits, by = _limits(evidence), segments.by
    name = f"Segments by {by.replace('_', ' ')}"
    least, loss = limits.min_segment_rows, f"{limits.max_segment_loss:g} beyond chance"
    asked = f"none of {least:,} rows or more loses more than {loss}"
    names = {segment.name for segment in found}
    gone = [name for column, name in evidence.champion_segments if column == by and name not in names]
    if gone or not found:
        what = f"the holdout has no rows of {', '.join(gone)}, which judged the champion"
        return _missing(name, asked, f"{name}: {what if gone else 'none were measured'}")
    judged = [segment for segment in found if segment.shortfall is None]
    if not evidence.has_champion_to_beat:
        sentence = f"{name}: there is no champion against which one of {len(found)} could lose."
        return CheckRow(name=name, asked=asked, measured="no champion", passed=True, sentence=sentence)
    if not judged:
        return _missing(name, asked, f"{name}: {_none_judged(found)}")
    unknown = [segment.name for segment in judged if not is_number(segment.upper_bound)]
    if unknown:
        return _missing(name, asked, f"{name}: the gain could not be measured for {', '.join(unknown)}")
    losers = [segment for segment in judged if _number(segment.upper_bound) < -limits.max_segment_loss]
    worst = sorted(losers or judged, key=lambda segment: _number(segment.upper_bound))[:1]
    measured = f"{len(judged)} of {len(found)} judged" + "".join(f"; worst: {_loss_text(one)}" for one in worst)
    texts = "; ".join(_loss_text(segment) for segment in losers)
    sentence = (
        f"{name}: the candidate loses more than {loss} in {texts}."
        if losers
        else f"{name}: none of the {len(judged)} judged loses more than {loss}."
    )
    return CheckRow(name=name, asked=asked, measured=measured, passed=not losers, sentence=sentence)


def _calibration(evidence: GateEvidence) -> Iterator[CheckRow]:
    limit, found = _limits(evidence).max_calibration_error, evidence.calibration
    if limit is None:
        return
    asked = f"not above {limit:g}, or not above the champion's, beyond chance"
    if found is None or not (is_number(found.error) and is_number(found.beyond_chance)):
        yield _missing("Calibration", asked, "The candidate's calibration could not be measured")
        return
    champions = found.champion_error if is_number(found.champion_error) else None
    allowed = max(limit, _number(champions) if champions is not None else limit)
    error, beyond = (f"{_number(value):.4g}" for value in (found.error, found.beyond_chance))
    passed = _number(found.beyond_chance) <= allowed
    yield CheckRow(
        name="Calibration",
        asked=asked,
        measured=f"{error}, of which {beyond} is beyond chance",
        passed=passed,
        sentence=(
            f"{found.title}: the candidate's {error}, of which {beyond} is beyond chance, is "
            f"{'within' if passed else 'above'} the limit of {allowed:.4g}."
        ),
    )


def _behaviour(evidence: GateEvidence) -> Iterator[CheckRow]:
    for test in evidence.behaviour:
        name, asked = f"Behaviour: {test.name}", test.asked or "run, and passed"
        if test.passed is None:
            yield _missing(name, asked, f"The behaviour test {test.name!r} was not run")
            continue
        yield CheckRow(
            name=name,
            asked=asked,
            measured=test.measured,
            passed=test.passed,
            sentence=f"The behaviour test {test.name!r} {'passed' if test.passed else 'failed'}: {test.measured}",
        )


def _holdout_use(evidence: GateEvidence) -> Iterator[CheckRow]:
    name, asked = "Use of the holdout", "counted, with a wider interval each time"
    if not evidence.holdout_digest:
        yield _missing(name, asked, "It could not be counted how often this holdout has judged")
        return
    confidence = _confidence(evidence)
    yield CheckRow(
        name=name,
        asked=asked,
        measured=f"candidate number {evidence.judgement}; {confidence} interval of the gain",
        passed=True,
        sentence=(
            f"The holdout judges candidate number {evidence.judgement}, so the interval of the gain is that of "
            f"{confidence}."
        ),
    )


def _leak(evidence: GateEvidence) -> Iterator[CheckRow]:
    threshold, found = _limits(evidence).leakage_threshold, evidence.leak
    if threshold is None:
        return
    limit = threshold[1]
    asked = f"not above {limit:g}, or a person is asked"
    if found is None or not is_number(found.value):
        yield _missing("Leak alarm", asked, "The metric of the leak alarm could not be measured")
        return
    passed = _number(found.value) <= limit
    own, ceiling = distinct_texts([found.value, limit])
    suspicion = "" if passed else ", too good to be true unless a person knows why"
    yield CheckRow(
        name="Leak alarm",
        asked=asked,
        measured=f"{found.title} {own}",
        passed=passed,
        sentence=f"{found.title}: the candidate's {own} {_is(not passed)} above {ceiling}{suspicion}.",
        if_failed="ask",
    )


_CHECKS_WITHOUT_LIMITS: tuple[Check, ...] = (_problems, _baseline, _gain)
CHECKS: tuple[Check, ...] = (
    _problems,
    _baseline,
    _naive_models,
    _gain,
    _refresh,
    _segments,
    _calibration,
    _behaviour,
    _distinct_scores,
    _holdout_use,
    _leak,
)
"""In the order of the page."""


def _missing(name: str, asked: str, what: str) -> CheckRow:
    return CheckRow(name=name, asked=asked, measured="missing", passed=None, sentence=f"{what}.")


def _beside_champion(evidence: GateEvidence) -> str:
    candidate, champion = distinct_texts([evidence.candidate_score, evidence.champion_score])
    return (
        f"{_title(evidence)} on {evidence.holdout_rows:,} holdout rows: {candidate} against {champion} of the "
        f"champion, {evidence.champion_named}"
    )


def _gain_text(evidence: GateEvidence) -> str:
    texts = distinct_texts([evidence.gain, evidence.gain_lower_bound, evidence.gain_upper_bound])
    gain, low, high = (text or "unknown" for text in texts)
    return f"{gain} ({low} to {high})"


def _lower_end(evidence: GateEvidence, limit: float) -> str:
    return str(distinct_texts([evidence.gain_lower_bound, limit])[0])


def _none_judged(found: list[SegmentGain]) -> str:
    largest = max(found, key=lambda segment: segment.rows)
    return (
        f"none of {len(found)} can be judged; the largest, {largest.name}, has {largest.shortfall}, so train on "
        "more rows, or ask for larger segments in `gate.segments` or for fewer rows in `gate.min_segment_rows`"
    )


def _loss_text(segment: SegmentGain) -> str:
    gain, high = distinct_texts([segment.gain, segment.upper_bound])
    return f"{segment.name} ({segment.rows:,} rows): gain {gain or 'unknown'}, at most {high or 'unknown'}"


def _confidence(evidence: GateEvidence) -> str:
    return percent(1 - evidence.gain_level, 0 if evidence.gain_level == LEVEL else 2)


def _limits(evidence: GateEvidence) -> GateLimits:
    return evidence.limits or GateLimits()


def _number(score: float | None) -> float:
    return math.nan if score is None else score


def _is(passed: bool) -> str:
    return "is" if passed else "is not"


def _title(evidence: GateEvidence) -> str:
    return evidence.title or evidence.metric
