-- Everything that must be true of the money, one row per rule: its name and by how much it fails.
-- Run in one repeatable-read transaction. All zero: the money adds up.

select 'sum of all ledger entries', coalesce(sum(amount), 0)::bigint from ledger_entry
union all
select 'transactions whose entries do not add up to zero', count(*) from (
  select 1 from ledger_entry group by transaction having sum(amount) <> 0) as unbalanced
union all
select 'transactions with ledger entries missing or too many', count(*) from (
  select 1 from market_transaction t left join ledger_entry e on e.transaction = t.id
  group by t.id, t.kind
  having not case t.kind when 'delivery' then count(e.line) = 0
                         when 'pay_out' then count(e.line) between 2 and 4
                         else count(e.line) = 2 end) as wrong
union all
select 'escrow minus open orders',
  (select coalesce(sum(amount), 0) from ledger_entry where account = 'escrow')::bigint
  - (select coalesce(sum(amount), 0) from customer_order
     where state in ('paid', 'delivered'))::bigint
union all
select 'order transactions without their order, or the reverse', abs(
  (select count(*) from market_transaction where kind = 'order')
  - (select count(*) from customer_order))
union all
select 'wallets that differ from the ledger', count(*) from buyer b left join (
  select owner, sum(amount) as amount from ledger_entry where account = 'wallet' group by owner
  ) as l on l.owner = b.id where b.balance <> coalesce(l.amount, 0)
union all
select 'sellers that differ from the ledger', count(*) from seller s left join (
  select owner, sum(amount) as amount from ledger_entry where account = 'seller' group by owner
  ) as l on l.owner = s.id where s.balance <> coalesce(l.amount, 0)
union all
select 'paid out within the buyer protection', count(*) from customer_order
  where paid_out_day <= delivered_day + 7
union all
select 'returned outside the 7 days', count(*) from customer_order
  where state = 'returned' and returned_day not between delivered_day and delivered_day + 7
union all
select 'refunded outside the 14 days', count(*) from customer_order
  where state = 'refunded' and returned_day not between delivered_day and delivered_day + 14
