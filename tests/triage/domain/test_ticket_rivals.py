import pytest

from tests.factories import AT, TRIAGER, finding
from tests.processes import ended, in_child
from triage.domain import connections, tickets
from triage.models import OutboxMessage, Ticket


@pytest.mark.django_db(transaction=True)
def test_rivals_open_one_ticket():
    row = finding()
    connections.default_tickets(AT)

    children = [in_child(lambda: tickets.open_tickets(findings=[row.pk], actor=TRIAGER, at=AT)) for _rival in range(4)]

    assert [ended(child) for child in children] == [0] * 4
    assert Ticket.objects.count() == OutboxMessage.objects.count() == 1
