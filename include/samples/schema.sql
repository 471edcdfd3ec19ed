-- The operational database of the company. Like many operational systems it constrains nothing: bad rows get in.
CREATE SCHEMA IF NOT EXISTS telecom;

-- One row per version of a customer: a change of contract, payment method or charges ends a version and begins the
-- next. A customer who has left keeps the last version open until the leaving is recorded (see churns).
CREATE TABLE IF NOT EXISTS telecom.customers (
    customer_id text,
    valid_from date,
    valid_to date,  -- the first day on which the version no longer holds; null while it is current
    gender text,
    senior_citizen int,
    partner text,
    dependents text,
    phone_service text,
    multiple_lines text,
    internet_service text,
    online_security text,
    online_backup text,
    device_protection text,
    tech_support text,
    streaming_tv text,
    streaming_movies text,
    contract text,
    paperless_billing text,
    payment_method text,
    monthly_charges numeric,  -- USD
    age int,  -- years
    location text,
    signup_date date
);
CREATE INDEX IF NOT EXISTS customers_customer_id ON telecom.customers (customer_id);

-- One row per customer and day, from the signup on to the day before the customer leaves.
CREATE TABLE IF NOT EXISTS telecom.usage_daily (
    customer_id text,
    day date,
    data_mb numeric,
    call_minutes numeric
);
CREATE INDEX IF NOT EXISTS usage_daily_day ON telecom.usage_daily (day);

-- paid_on and is_late are null until the day of the payment. What a customer paid before the billing system began
-- (90 days before the first day of usage_daily) is one paid invoice, <customer_id>-before, so that the sum of paid
-- amounts is what the customer has paid so far.
CREATE TABLE IF NOT EXISTS telecom.invoices (
    invoice_id text,
    customer_id text,
    issued_on date,
    due_on date,
    amount numeric,  -- USD
    paid_on date,
    is_late bool
);
CREATE INDEX IF NOT EXISTS invoices_invoice_id ON telecom.invoices (invoice_id);
CREATE INDEX IF NOT EXISTS invoices_issued_on ON telecom.invoices (issued_on);
CREATE INDEX IF NOT EXISTS invoices_paid_on ON telecom.invoices (paid_on);

-- Customers who have left; the row appears on recorded_on, some days after churned_on.
CREATE TABLE IF NOT EXISTS telecom.churns (
    customer_id text,
    churned_on date,
    recorded_on date
);

-- The generator's own notes, apart from the company's tables.
CREATE SCHEMA IF NOT EXISTS sample_world;
CREATE TABLE IF NOT EXISTS sample_world.company (
    first_day date NOT NULL,
    settings jsonb NOT NULL
);
CREATE TABLE IF NOT EXISTS sample_world.written_days (
    day date PRIMARY KEY
);
