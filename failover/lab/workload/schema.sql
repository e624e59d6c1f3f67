-- A small marketplace. One second of the wall clock is one day of the market, so that the buyer
-- protection (7 days) and the satisfaction guarantee (14 days) run out while one watches.
--
-- Money is kept twice: in the ledger (double entry, one row per account touched) and in what the
-- shop works with (wallets, balances, orders). The two must always agree; see money.sql.

create function market_day() returns bigint language sql stable as
  $$ select floor(extract(epoch from statement_timestamp()))::bigint $$;

create table buyer (
  id      integer primary key,
  balance bigint not null default 0 check (balance >= 0)
);

create table seller (
  id      integer primary key,
  balance bigint not null default 0 check (balance >= 0)
);

-- Every transaction of the shop, under the id that its client made before it began.
create table market_transaction (
  id     uuid primary key,
  run    text not null,
  client text not null,
  kind   text not null,
  at     timestamptz not null default clock_timestamp()
);

create table customer_order (
  id            bigint generated always as identity primary key,
  placed_by     uuid not null unique references market_transaction,
  buyer         integer not null references buyer,
  seller        integer not null references seller,
  amount        bigint not null check (amount > 0),
  state         text not null default 'paid' check
                (state in ('paid', 'delivered', 'paid_out', 'returned', 'refunded')),
  placed_day    bigint not null default market_day(),
  delivered_day bigint,
  paid_out_day  bigint,
  returned_day  bigint
);

create index on customer_order (id) where state = 'paid';
create index on customer_order (delivered_day) where state = 'delivered';
create index on customer_order (delivered_day) where state = 'paid_out';

create table ledger_entry (
  transaction uuid not null references market_transaction,
  line        smallint not null,
  account     text not null check
              (account in ('bank', 'wallet', 'escrow', 'seller', 'fee', 'guarantee')),
  owner       integer,  -- the buyer of a wallet, the seller of a balance
  amount      bigint not null check (amount <> 0),
  primary key (transaction, line)
);

insert into buyer (id) select generate_series(1, 500);
insert into seller (id) select generate_series(1, 100);
