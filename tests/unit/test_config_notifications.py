"""failover.yaml: who is told what; every mistake at once."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from test_config import GOOD, mistakes

from failover.config import parse
from failover.config.names import name_problems
from failover.policy import (
    CommandHook,
    Endpoint,
    NotificationKind,
    Purpose,
    Url,
    Webhook,
    WebhookFormat,
)

FULL = (
    GOOD
    + """\
notifications:
  - webhook:
      name: oncall
      url: https://hooks.example.id/failover?team=db
      format: alertmanager
      events: [takeover, hold]
      bearer_file: /etc/failover/secrets/oncall.bearer
  - webhook: {name: chat, url: 'http://10.3.0.9:8080/'}
  - command: {name: pager, path: /usr/local/lib/page, events: [finding]}
"""
)


def test_everything_that_can_be_said() -> None:
    policy = parse(FULL)
    oncall, chat, pager = policy.notifications
    assert oncall == Webhook(
        name="oncall",
        url=Url("https://hooks.example.id/failover?team=db", "hooks.example.id", 443),
        format=WebhookFormat.ALERTMANAGER,
        events=(NotificationKind.TAKEOVER, NotificationKind.HOLD),
        bearer_file="/etc/failover/secrets/oncall.bearer",
    )
    everything = tuple(NotificationKind)
    place = Url("http://10.3.0.9:8080/", ip_address("10.3.0.9"), 8080)
    assert chat == Webhook("chat", place, WebhookFormat.JSON, everything)
    assert pager == CommandHook("pager", "/usr/local/lib/page", (NotificationKind.FINDING,))
    assert policy.endpoints == (
        Endpoint("oncall", "hooks.example.id", 443, Purpose.OPERATIONS),
        Endpoint("chat", ip_address("10.3.0.9"), 8080, Purpose.OPERATIONS),
    )
    assert parse(GOOD).notifications == ()


def test_every_mistake_about_notifications_in_one_run() -> None:
    text = (
        GOOD.replace("[10.2.0.0/24]", "[10.2.0.0/24, {network: 10.9.0.0/24, purpose: [client]}]")
        + """\
notifications:
  - webhook: {name: a, url: https://203.0.113.9/x, events: [takover]}
  - webhook: {name: a, url: https://10.9.0.9/x, format: slack, event: [hold]}
  - webhook: {name: b, url: ftp://10.3.0.9/x}
  - webhook: {name: c, url: http://10.3.0.9/x, bearer_file: secrets/c}
  - webhook: {name: d, url: 'https://10.3.0.9/?api_key=hunter2'}
  - command: {name: e, path: notify, events: []}
  - command: {name: f}
    webhook: {name: g, url: https://10.3.0.9/}
  - {}
"""
    )
    found = mistakes(text)
    assert found == [
        "notifications[0].webhook.events[0]: 'takover' is not known (did you mean takeover?)",
        "notifications[0].webhook.url: 203.0.113.9 is in no declared network (declare its network "
        "first)",
        "notifications[1].webhook.event: unknown key (did you mean events?)",
        "notifications[1].webhook.format: 'slack' is not known (known: alertmanager, json)",
        "notifications[1].webhook.name: 'a' is given twice (one for each)",
        "notifications[1].webhook.url: 10.9.0.9 stands in 10.9.0.0/24, which is not for "
        "operations (add operations to its purpose, or declare another network)",
        "notifications[2].webhook.url: 'ftp://10.3.0.9/x' is not a URL of http or https (for "
        "example https://hooks.example.id/failover)",
        "notifications[3].webhook.bearer_file: 'secrets/c' is not the absolute path of a file (for "
        "example /etc/failover/secrets/hooks.bearer)",
        "notifications[3].webhook.bearer_file: would be readable on its way: the URL is not https "
        "(https, or no bearer)",
        "notifications[4].webhook.url: a URL must not hold a secret (into a file, and name that: "
        "bearer_file)",
        "notifications[5].command.events: must not be empty",
        "notifications[5].command.path: 'notify' is not the absolute path of a file (for example "
        "/etc/failover/secrets/hooks.bearer)",
        "notifications[6]: is both a webhook and a command (one of them in each item of the list)",
        "notifications[6].command.path: is missing (for example `path: /usr/lib/failover/notify`)",
        "notifications[7]: is neither webhook nor command (one of them in each item of the list)",
    ]
    assert not any("hunter2" in each for each in found)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:pw@hooks.example.id/",
        "https://user@hooks.example.id/",
        "https://hooks/",
        "https://127.0.0.1/",
        "https://hooks.example.id:99999/",
        "https://hooks.example.id/#x",
        "https:///x",
        "hooks.example.id",
    ],
)
def test_urls_that_cannot_be(url: str) -> None:
    text = GOOD + f"notifications: [{{webhook: {{name: a, url: '{url}'}}}}]\n"
    (problem,) = mistakes(text)
    assert problem.startswith("notifications[0].webhook.url: ")


def test_a_webhook_whose_name_stands_for_an_address_abroad_is_refused() -> None:
    policy = parse(FULL)
    abroad, inside = ip_address("203.0.113.9"), ip_address("10.3.0.8")
    (problem,) = name_problems(policy, lambda _name: (abroad, inside))
    assert problem.path == "notifications[0].webhook.url"
    assert "203.0.113.9, declared nowhere for operations" in problem.message
    assert name_problems(policy, lambda _name: (inside,)) == []
