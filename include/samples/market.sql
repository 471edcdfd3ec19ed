-- The prices of the sample market, as an operational system would hold them.
CREATE SCHEMA IF NOT EXISTS market;
CREATE TABLE IF NOT EXISTS market.prices (
    symbol text NOT NULL,
    date date NOT NULL,
    open numeric,  -- USD
    high numeric,
    low numeric,
    close numeric,
    volume bigint,  -- shares
    PRIMARY KEY (symbol, date)
);
CREATE INDEX IF NOT EXISTS prices_date ON market.prices (date);

-- The generator's own notes, apart from the prices.
CREATE SCHEMA IF NOT EXISTS sample_market;
CREATE TABLE IF NOT EXISTS sample_market.opening (
    first_day date NOT NULL,
    seed bigint NOT NULL
);
