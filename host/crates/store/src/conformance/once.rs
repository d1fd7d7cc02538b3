//! Changes with a precondition that holds once.

use super::*;

/// What has to be there, and a change with a precondition that holds once: made again, it starts from what is no more.
pub(super) struct Once {
    pub(super) what: &'static str,
    pub(super) first: Vec<Write>,
    /// Several that start from the same state.
    pub(super) change: fn(&[Write]) -> Vec<Write>,
}

/// One for each precondition of the contract.
pub(super) fn changes_that_hold_once() -> Vec<Once> {
    let run = summary(Status::Running);
    let (expired, record) = (delivery(1), ticket(1));
    let version = FlowVersionRecord { source: String::new(), deployed_at: None, plugins: None };
    vec![
        Once {
            what: "begin",
            first: vec![],
            change: |_| vec![start(&Summary { id: ExecutionId::from_bytes([1; 16]), ..summary(Status::Running) })],
        },
        Once {
            what: "go on",
            first: vec![start(&run)],
            change: |first| {
                let run = first_summary(first);
                vec![go_on(&run, &run).1]
            },
        },
        Once {
            what: "put mail where there is room for one",
            first: vec![start(&run)],
            change: |first| vec![put_mail(&first_summary(first), &mail(1), MailboxLimits { count_max: 1, ..ROOM })],
        },
        Once {
            what: "put mail and go on",
            first: vec![start(&run)],
            change: |first| {
                let run = first_summary(first);
                vec![put_mail(&run, &mail(1), ROOM), go_on(&run, &run).1]
            },
        },
        Once {
            what: "take mail",
            first: vec![start(&run), put_mail(&run, &mail(1), ROOM)],
            change: |first| {
                let Write::PutMail { execution, mail, .. } = &first[1] else { unreachable!() };
                vec![Write::TakeMail {
                    workspace: here(),
                    execution: *execution,
                    trigger: name("paid"),
                    mail: mail.clone(),
                }]
            },
        },
        Once { what: "a delivery", first: vec![], change: |_| vec![put_delivery(&delivery(9), None)] },
        Once {
            what: "a delivery after one that is over",
            first: vec![put_delivery(&expired, None)],
            change: |first| {
                let Write::PutDelivery { delivery: over, .. } = &first[0] else { unreachable!() };
                vec![put_delivery(&delivery(9), Some(over))]
            },
        },
        Once {
            what: "take what was deferred",
            first: vec![Write::PutDeferred { workspace: here(), id: CallbackId::from_bytes([3; 16]) }],
            change: |_| vec![Write::TakeDeferred { workspace: here(), id: CallbackId::from_bytes([3; 16]) }],
        },
        Once {
            what: "begin for a key that nobody holds",
            first: vec![],
            change: |_| vec![expect(&keyed("k"), MostByKey { holds: 0, ..MostByKey::ANY }), start(&holding("k"))],
        },
        Once {
            what: "begin to wait for a key that nobody waits for",
            first: vec![],
            change: |_| {
                vec![expect(&keyed("k"), MostByKey { waits: 0, ..MostByKey::ANY }), start(&waiting_for("k", 1))]
            },
        },
        Once {
            what: "keep for a key where there is room for one",
            first: vec![],
            change: |_| vec![put_early("k", &mail(1), early_room(1, 100), Unless::Awaited)],
        },
        Once {
            what: "keep for keys where the workspace has room for one",
            first: vec![],
            change: |_| vec![put_early("k", &mail(1), early_room(100, 1), Unless::Awaited)],
        },
        Once {
            what: "take what is kept for a key",
            first: vec![put_early("k", &mail(1), early_room(9, 9), Unless::Awaited)],
            change: |first| {
                let Write::PutEarly { at, mail, .. } = &first[0] else { unreachable!() };
                vec![Write::TakeEarly { workspace: here(), at: at.clone(), mail: mail.clone() }]
            },
        },
        Once { what: "a ticket of a state", first: vec![], change: |_| vec![put_ticket(ticket(5), None)] },
        Once {
            what: "change a ticket",
            first: vec![put_ticket(record, None)],
            change: |first| {
                let Write::PutTicket { record, .. } = &first[0] else { unreachable!() };
                vec![put_ticket(TicketRecord { revision: 1, ..(**record).clone() }, Some(0))]
            },
        },
        Once {
            what: "delete an execution",
            first: vec![start(&run)],
            change: |first| {
                let run = first_summary(first);
                vec![Write::DeleteExecution { workspace: here(), id: run.id, entries: run.entries }]
            },
        },
        Once {
            what: "delete a version that is there",
            first: vec![Write::PutFlowVersion { workspace: here(), name: here(), version: 1, record: version }],
            change: |_| {
                let expect = Write::ExpectFlowVersion { workspace: here(), name: here(), version: 1 };
                vec![
                    expect,
                    Write::DeleteFlowVersions { workspace: here(), name: here(), versions: BTreeSet::from([1]) },
                ]
            },
        },
    ]
}

fn first_summary(first: &[Write]) -> Summary {
    match first.first() {
        Some(Write::Advance { summary, .. }) => (**summary).clone(),
        _ => unreachable!("it begins with an execution"),
    }
}
