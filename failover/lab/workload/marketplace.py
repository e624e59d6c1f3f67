"""The shop: every kind of transaction as one statement, and how a customer picks among them.

Invariant: a statement moves money only together with its ledger entries and its row in
``market_transaction``; it returns how many such rows it made (0: there was nothing to do), the
address that the server itself names, and the transaction's id.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from typing import LiteralString

BUYERS = 500
SELLERS = 100

# Serialises the creation of the schema among clients that start together.
SCHEMA_LOCK = 0x6661696C


class Kind(StrEnum):
    TOP_UP = "top_up"  # a buyer pays into the wallet from outside
    ORDER = "order"  # wallet to escrow
    DELIVERY = "delivery"  # no money; the 7 and the 14 days begin
    PAY_OUT = "pay_out"  # escrow to seller, fee and guarantee fund, 7 days after delivery
    RETURN_PROTECTED = "return_protected"  # within 7 days: escrow back to the wallet
    RETURN_GUARANTEED = "return_guaranteed"  # within 14 days: the guarantee fund pays back
    WITHDRAWAL = "withdrawal"  # a seller takes the balance out


@dataclass(frozen=True, slots=True)
class Purchase:
    """What chance decides of one transaction."""

    buyer: int
    seller: int
    amount: int


WEIGHTS: dict[Kind, int] = {
    Kind.ORDER: 36,
    Kind.DELIVERY: 30,
    Kind.PAY_OUT: 16,
    Kind.TOP_UP: 8,
    Kind.WITHDRAWAL: 4,
    Kind.RETURN_PROTECTED: 4,
    Kind.RETURN_GUARANTEED: 2,
}

# What a customer does where there is nothing to do for the kind at hand; the last always works.
INSTEAD = (Kind.ORDER, Kind.TOP_UP)


def pick(chance: random.Random) -> tuple[Kind, Purchase]:
    """One kind of transaction and its particulars."""
    (kind,) = chance.choices(list(WEIGHTS), weights=list(WEIGHTS.values()))
    amount = chance.randint(1_000, 50_000) if kind is not Kind.TOP_UP else 500_000
    return kind, Purchase(chance.randint(1, BUYERS), chance.randint(1, SELLERS), amount)


def schema_sql() -> str:
    """The statements that create the empty shop."""
    return resources.files(__package__).joinpath("schema.sql").read_text(encoding="utf-8")


_TRANSACTION: LiteralString = """
insert into market_transaction (id, run, client, kind)
  select %(id)s, %(run)s, %(client)s, %(kind)s from source returning id"""

_RESULT: LiteralString = """select count(*), host(inet_server_addr()),
  pg_current_xact_id_if_assigned()::xid::text::bigint from made"""


def _statement(
    source: LiteralString, lines: LiteralString | None, more: LiteralString = ""
) -> LiteralString:
    """``source`` yields one row or none; ``lines`` are ledger rows made from its columns."""
    entries: LiteralString = ""
    if lines is not None:
        entries = f""", entries as (
insert into ledger_entry (transaction, line, account, owner, amount)
  select made.id, entry.line, entry.account, entry.owner, entry.amount
  from made, source, lateral (values {lines}) as entry (line, account, owner, amount)
  where entry.amount <> 0)"""
    return f"with source as ({source}), made as ({_TRANSACTION}){entries}{more} {_RESULT}"


STATEMENTS: dict[Kind, LiteralString] = {
    Kind.TOP_UP: _statement(
        """update buyer set balance = balance + %(amount)s where id = %(buyer)s
           returning id as buyer, %(amount)s::bigint as amount""",
        "(1, 'bank', null::integer, -amount), (2, 'wallet', buyer, amount)",
    ),
    Kind.ORDER: _statement(
        """update buyer set balance = balance - %(amount)s
           where id = %(buyer)s and balance >= %(amount)s
           returning id as buyer, %(amount)s::bigint as amount""",
        "(1, 'wallet', buyer, -amount), (2, 'escrow', null::integer, amount)",
        """, placed as (
insert into customer_order (placed_by, buyer, seller, amount)
  select made.id, source.buyer, %(seller)s, source.amount from made, source)""",
    ),
    Kind.DELIVERY: _statement(
        """update customer_order set state = 'delivered', delivered_day = market_day()
           where id = (select id from customer_order where state = 'paid'
                       order by id limit 1 for update skip locked)
           returning id""",
        None,
    ),
    Kind.PAY_OUT: _statement(
        """update customer_order set state = 'paid_out', paid_out_day = market_day()
           where id = (select id from customer_order
                       where state = 'delivered' and delivered_day + 7 < market_day()
                       order by delivered_day limit 1 for update skip locked)
           returning seller, amount, amount / 20 as fee""",
        """(1, 'escrow', null::integer, -amount), (2, 'seller', seller, amount - fee),
           (3, 'fee', null, fee - fee / 2), (4, 'guarantee', null, fee / 2)""",
        """, credited as (
update seller set balance = balance + source.amount - source.fee
  from source where seller.id = source.seller)""",
    ),
    Kind.RETURN_PROTECTED: _statement(
        """update customer_order set state = 'returned', returned_day = market_day()
           where id = (select id from customer_order
                       where state = 'delivered' and delivered_day + 7 >= market_day()
                       order by delivered_day desc limit 1 for update skip locked)
           returning buyer, amount""",
        "(1, 'escrow', null::integer, -amount), (2, 'wallet', buyer, amount)",
        """, refunded as (
update buyer set balance = balance + source.amount from source where buyer.id = source.buyer)""",
    ),
    Kind.RETURN_GUARANTEED: _statement(
        """update customer_order set state = 'refunded', returned_day = market_day()
           where id = (select id from customer_order
                       where state = 'paid_out' and delivered_day + 14 >= market_day()
                       order by delivered_day desc limit 1 for update skip locked)
           returning buyer, amount""",
        "(1, 'guarantee', null::integer, -amount), (2, 'wallet', buyer, amount)",
        """, refunded as (
update buyer set balance = balance + source.amount from source where buyer.id = source.buyer)""",
    ),
    Kind.WITHDRAWAL: _statement(
        """update seller set balance = 0
           from (select id, balance from seller where id = %(seller)s and balance > 0
                 for update) as before
           where seller.id = before.id returning before.id as seller, before.balance as amount""",
        "(1, 'seller', seller, -amount), (2, 'bank', null::integer, amount)",
    ),
}
