//! What is read together: the pages of lists that grow, and what belongs to each other.

use super::*;

/// All items of a list, page by page: none has more than it may, and only the last one has no next.
async fn all_pages<T, K: Clone>(
    limit: usize,
    mut page: impl AsyncFnMut(Option<K>) -> Result<Page<T, K>, StoreError>,
) -> Vec<T> {
    let (mut all, mut after) = (Vec::new(), None);
    for pages in 0.. {
        assert!(pages < 1000, "it does not end");
        let Page { items, next } = page(after).await.unwrap();
        assert!(items.len() <= limit && (next.is_none() || items.len() == limit), "{} of {limit}", items.len());
        all.extend(items);
        after = next;
        if after.is_none() {
            break;
        }
    }
    all
}

/// Lists that grow are read behind a key, whoever has much of the same beside it.
pub(crate) async fn each_page_says_where_the_next_goes_on(open: Open) {
    let (_directory, store) = begin(open).await;
    let (callback, other) = (CallbackId::from_bytes([5; 16]), CallbackId::from_bytes([6; 16]));
    let mut resumed: Vec<ExecutionId> = (0..6).map(|_| ExecutionId::new()).collect();
    resumed.sort_unstable();
    let version = |version: u32| FlowVersionRecord { source: version.to_string(), deployed_at: None, plugins: None };
    let put_version = |name: Name, number: u32| Write::PutFlowVersion {
        workspace: here(),
        name,
        version: number,
        record: version(number),
    };
    let token = |user: &str| -> UserTokenRecord {
        serde_json::from_value(json!({ "user": user, "created_at": "2026-01-01T00:00:00Z" })).unwrap()
    };
    let put_token = |user: &str, hash: String| Write::PutUserToken { workspace: here(), hash, record: token(user) };
    let mut tickets = Vec::new();
    for number in 0..6 {
        let (execution, hash) = (resumed[usize::try_from(number).unwrap()], format!("{:02}", 9 * number));
        let record = ticket(u128::from(number));
        let there = Write::PutTicket {
            workspace: name("there"),
            before: None,
            record: Box::new(ticket(100 + u128::from(number))),
        };
        tickets.push(record.id);
        let change = vec![
            Write::PutResumed { workspace: here(), callback, execution },
            Write::PutResumed { workspace: here(), callback: other, execution },
            put_version(here(), 255 + number),
            put_version(name("other"), number),
            put_token("jane", hash.clone()),
            put_token("jan", format!("{hash}x")),
            put_ticket(record, None),
            there,
        ];
        store.commit(change).await.unwrap();
    }
    let versions: Vec<u32> = (255..261).collect();
    for limit in [1, 2, 3, 5, 6, 7, usize::MAX] {
        let seen = all_pages(limit, async |after| store.resumed_by(&here(), callback, after, limit).await).await;
        assert_eq!(seen, resumed);
        let seen = all_pages(limit, async |after| store.flow_versions(&here(), &here(), after, limit).await).await;
        assert_eq!(seen, versions, "oldest first");
        let page = async |after| store.flow_version_records(&here(), &here(), after, limit).await;
        let seen: Vec<_> =
            all_pages(limit, page).await.into_iter().map(|(number, record)| (number, record.source)).collect();
        assert_eq!(seen, versions.iter().map(|number| (*number, number.to_string())).collect::<Vec<_>>());
        let page = async |after: Option<String>| store.user_tokens(&here(), "jane", after.as_deref(), limit).await;
        let seen = all_pages(limit, page).await;
        assert!(seen.iter().map(|(hash, _)| hash.as_str()).eq(["00", "09", "18", "27", "36", "45"]), "{seen:?}");
        assert!(seen.iter().all(|(_, token)| token.user == "jane"));
        let page = async |after| store.tickets_made_before(later(), after, limit).await;
        let seen = all_pages(limit, page).await;
        assert_eq!(seen.len(), 12, "of all workspaces");
        assert!(seen.iter().filter(|(of, _)| *of == here()).map(|(_, ticket)| ticket.id).eq(tickets.iter().copied()));
        let none = store.tickets_made_before(at(1), None, limit).await.unwrap();
        assert!(none.items.is_empty() && none.next.is_none(), "those that are newer stay out of it");
    }
    store.commit(vec![Write::DeleteResumed { workspace: here(), callback }]).await.unwrap();
    let left = async |callback| store.resumed_by(&here(), callback, None, 9).await.unwrap().items.len();
    assert_eq!((left(callback).await, left(other).await), (0, 6), "whom the other one has resumed stays known");
    let other_than = async |flow: &Name, version| store.has_other_version(&here(), flow, version).await.unwrap();
    assert!(other_than(&here(), 255).await && other_than(&here(), 7).await && !other_than(&name("none"), 1).await);
    store.commit(vec![put_version(name("single"), 4)]).await.unwrap();
    assert!(!other_than(&name("single"), 4).await && other_than(&name("single"), 5).await);
}

/// What is always wanted together comes together: mail and deliveries with the record of their callback, a token with its user, a
/// state with its ticket.
pub(crate) async fn what_belongs_together_is_one_look(open: Open) {
    let (_directory, store) = begin(open).await;
    let run = summary(Status::Running);
    let record = CallbackRecord { outcome: Outcome::Kept, ..CallbackRecord::for_testing() };
    let (kept, lost) = (Mail { callback: record.id, ..mail(5) }, mail(5));
    let known = Delivery { callback: record.id, ..delivery(9) };
    let put = |before, record: &CallbackRecord| Write::PutCallback {
        workspace: here(),
        before,
        record: Box::new(record.clone()),
    };
    store.commit(vec![start(&run)]).await.unwrap();
    store.commit(vec![put(None, &record), put_mail(&run, &kept, ROOM), put_delivery(&known, None)]).await.unwrap();
    store.commit(vec![put_mail(&run, &lost, ROOM)]).await.unwrap();
    let (execution, trigger) = (run.id, name("paid"));
    let found = async |mail: &Mail| store.mail(&here(), execution, &trigger, mail.callback).await.unwrap();
    let record_of = async || {
        let (delivery, first) = store.delivery(&here(), &here(), &here(), &[7; 32]).await.unwrap().unwrap();
        assert_eq!(delivery, known);
        first
    };
    assert_eq!(found(&kept).await, Some((kept.clone(), Some(record.clone()))));
    assert_eq!(found(&lost).await, Some((lost, None)));
    assert_eq!(record_of().await, Some(record.clone()));
    let changed = CallbackRecord { outcome: Outcome::Resumed, ..record.clone() };
    store.commit(vec![put(Some(Outcome::Kept), &changed)]).await.unwrap();
    assert_eq!(record_of().await, Some(changed), "as it is by now");
    let recent = CallbackRecord { outcome: Outcome::Ignored, ..CallbackRecord::for_testing() };
    assert!(store.keep_recent(&here(), &recent));
    let (id, next) = (recent.id, Delivery { callback: recent.id, ..delivery(10) });
    store.commit(vec![put_delivery(&next, Some(&known))]).await.unwrap();
    let (_, first) = store.delivery(&here(), &here(), &here(), &[7; 32]).await.unwrap().unwrap();
    assert_eq!(first.map(|first| first.id), Some(id), "nobody was promised it");

    let jane: UserRecord = serde_json::from_value(
        json!({ "properties": {}, "roles": ["a"], "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z" }),
    )
    .unwrap();
    let token: UserTokenRecord =
        serde_json::from_value(json!({ "user": "jane", "created_at": "2026-01-01T00:00:00Z" })).unwrap();
    store.commit(vec![Write::PutUserToken { workspace: here(), hash: "h".into(), record: token }]).await.unwrap();
    let of_token = async |hash| store.user_of_token(&here(), hash).await.unwrap();
    assert!(of_token("h").await.is_some_and(|(token, user)| token.user == "jane" && user.is_none()));
    store.commit(vec![Write::PutUser { workspace: here(), id: "jane".into(), record: jane }]).await.unwrap();
    assert!(of_token("h").await.is_some_and(|(_, user)| user.is_some_and(|user| user.roles == ["a"])));
    assert!(of_token("x").await.is_none());
    let there = ticket(3);
    store.commit(vec![put_ticket(there.clone(), None)]).await.unwrap();
    let of_state = async |state| store.ticket_of_state(Uuid::from_u128(state)).await.unwrap();
    assert_eq!((of_state(3).await, of_state(4).await), (Some((here(), there)), None));
    let dropped = Write::DropSignature { workspace: here(), signature: "s".into() };
    store.commit(vec![dropped]).await.unwrap();
    let asked = BTreeSet::from(["r", "s", "t"].map(str::to_owned));
    let of = async |workspace: &Name| store.dropped_signatures(workspace, asked.clone()).await.unwrap();
    assert_eq!(of(&here()).await, BTreeSet::from(["s".to_owned()]));
    assert!(of(&name("there")).await.is_empty());
}
