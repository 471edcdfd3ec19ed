"""The table of the ledger, from its first shape to the present one.

Ledgers that are older than `ml.migrations` may have any of these shapes, so each statement also takes a table that
has what it adds.
"""

MIGRATIONS = (
    # The first shape.
    """
create table if not exists ml.ledger (
    id bigint generated always as identity primary key,
    recorded_at timestamptz not null default clock_timestamp(),
    model text not null,
    action text not null,
    candidate integer not null,
    from_version integer,
    to_version integer,
    effective_from date not null,
    actor text not null,
    reason text not null,
    evidence jsonb not null,
    run_id text not null,
    unique (model, run_id, candidate)
);
create or replace function ml.refuse_ledger_change() returns trigger language plpgsql as $$
begin
    raise exception 'ml.ledger is append-only, so % is refused; record a new entry that corrects it.', tg_op;
end $$;
create or replace trigger append_only before update or delete or truncate on ml.ledger
    for each statement execute function ml.refuse_ledger_change();
""",
    # The digest of each model file, which every load checks.
    "alter table ml.ledger add column if not exists digests jsonb not null default '{}'",
    # A champion that scoring cannot use.
    """
alter table ml.ledger drop constraint if exists ledger_action_check;
alter table ml.ledger add constraint ledger_action_check
    check (action in ('promote', 'keep', 'baseline', 'rollback', 'fallback'));
""",
    # Proposals and their answers, refreshes, challengers and repairs. Of a candidate, a run has one verdict, one
    # answer and one of each other action.
    """
alter table ml.ledger drop constraint if exists ledger_action_check;
alter table ml.ledger add constraint ledger_action_check check (action in (
    'promote', 'refresh', 'keep', 'baseline', 'propose', 'approve', 'reject', 'rollback', 'fallback', 'shadow',
    'withdraw', 'repair'
));
alter table ml.ledger drop constraint if exists ledger_model_run_id_candidate_key;
create unique index if not exists ledger_once on ml.ledger (model, run_id, candidate, (
    case
        when action in ('promote', 'refresh', 'keep', 'baseline', 'propose') then 'verdict'
        when action in ('approve', 'reject') then 'answer'
        else action
    end
));
""",
    # A new champion that was fitted on the holdout as well. Of a version, a run has one outcome of that.
    """
alter table ml.ledger drop constraint if exists ledger_action_check;
alter table ml.ledger add constraint ledger_action_check check (action in (
    'promote', 'refresh', 'keep', 'baseline', 'propose', 'approve', 'reject', 'refit', 'refuse_refit', 'rollback',
    'fallback', 'shadow', 'withdraw', 'repair'
));
drop index if exists ml.ledger_once;
create unique index ledger_once on ml.ledger (model, run_id, candidate, (
    case
        when action in ('promote', 'refresh', 'keep', 'baseline', 'propose') then 'verdict'
        when action in ('approve', 'reject') then 'answer'
        when action in ('refit', 'refuse_refit') then 'refit'
        else action
    end
));
""",
)
