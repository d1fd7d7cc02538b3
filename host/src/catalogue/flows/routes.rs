//! What is deployed, and where its URLs lead.

use super::{Deployed, Flows, ids};
use crate::weight::LoadedFlow;
use ringback_records::flow::CallbackIds;
use ringback_records::name::Name;
use ringback_records::time::Timestamp;
use ringback_rules::face::{self, Address, Face, Target};
use ringback_rules::flow::Flow;
use ringback_store::StoreError;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Where a URL leads.
#[derive(Clone, Debug)]
pub struct Route {
    pub workspace: Name,
    pub flow: Arc<LoadedFlow>,
    /// The trigger's index in the flow.
    pub trigger: usize,
    /// The form of the URL.
    pub face: &'static dyn Face,
    /// The callback of the trigger, at a face that has them.
    pub callback: Option<RoutedCallback>,
    /// What names an environment other than `default`.
    pub prefix: Option<String>,
}

/// One of a trigger's callbacks, with what its URL is made of.
#[derive(Clone, Debug)]
pub struct RoutedCallback {
    pub ids: CallbackIds,
    pub content_type: String,
}

/// The name of a face, and an address there.
type Place = (&'static str, String);

#[derive(Clone, Default)]
pub(super) struct Routes {
    pub(super) flows: BTreeMap<(Name, Name), Arc<Deployed>>,
    /// Those that this version cannot read, with when they were made.
    pub(super) unreadable: BTreeMap<(Name, Name), Option<Timestamp>>,
    urls: HashMap<Place, Url>,
}

/// A URL that belongs to a flow, whether it answers or not.
#[derive(Clone)]
struct Url {
    workspace: Name,
    flow: Name,
    trigger: Name,
    leads: Leads,
}

#[derive(Clone)]
enum Leads {
    /// To a trigger of the deployed version.
    Here(Route),
    /// To a trigger that only this earlier version had: executions may wait there.
    Back { trigger: Name, version: u32, callback: Option<Name> },
    /// Nowhere: the flow is disabled, or the trigger started executions and is gone.
    Nowhere,
}

impl Routes {
    pub(super) fn find(&self, workspace: &Name, name: &Name) -> Option<&Arc<Deployed>> {
        self.flows.get(&(workspace.clone(), name.clone()))
    }

    pub(super) fn put(&mut self, workspace: &Name, deployed: Deployed) {
        self.remove(workspace, &deployed.record.name);
        let name = deployed.record.name.clone();
        for (place, trigger, leads) in urls(workspace, &deployed) {
            let leads = if deployed.record.enabled { leads } else { Leads::Nowhere };
            self.urls.insert(place, Url { workspace: workspace.clone(), flow: name.clone(), trigger, leads });
        }
        self.flows.insert((workspace.clone(), name), Arc::new(deployed));
    }

    pub(super) fn remove(&mut self, workspace: &Name, name: &Name) {
        let key = (workspace.clone(), name.clone());
        self.flows.remove(&key);
        self.unreadable.remove(&key);
        self.urls.retain(|_, url| url.workspace != *workspace || url.flow != *name);
    }

    /// The triggers of a flow that is about to be deployed whose URLs belong to another flow, or to another trigger of its own,
    /// each with whose they are: in words that name nothing of another workspace.
    pub(super) fn taken(&self, workspace: &Name, deployed: &Deployed) -> Vec<(usize, String)> {
        let mut own: HashMap<Place, &Name> = HashMap::new();
        let mut taken = Vec::new();
        for (index, trigger) in deployed.flow.triggers.iter().enumerate() {
            for (place, _) in urls_of(workspace, deployed, &trigger.id, &trigger.faces, |_| Some(Leads::Nowhere)) {
                let of_another = |url: &&Url| url.workspace != *workspace || url.flow != deployed.record.name;
                let whose = match self.urls.get(&place).filter(of_another) {
                    Some(url) if url.workspace == *workspace => {
                        format!("the trigger `{}` of the flow `{}`", url.trigger, url.flow)
                    }
                    Some(_) => "another trigger".to_owned(),
                    None => match own.insert(place, &trigger.id) {
                        Some(first) => format!("the trigger `{first}` of this flow"),
                        None => continue,
                    },
                };
                taken.push((index, whose));
            }
        }
        taken
    }
}

/// Every URL of a flow, those of gone triggers too.
fn urls(workspace: &Name, deployed: &Deployed) -> Vec<(Place, Name, Leads)> {
    let mut all = Vec::new();
    let mut add = |trigger: &Name, found: Vec<(Place, Leads)>| {
        all.extend(found.into_iter().map(|(place, leads)| (place, trigger.clone(), leads)));
    };
    // Those of the deployed version come last, and count.
    for (id, gone) in &deployed.record.gone {
        let faces: Vec<&'static dyn Face> = gone.faces.iter().filter_map(|name| face::by_name(name)).collect();
        let leads = |callback: Option<&Name>| {
            let back = Leads::Back { trigger: id.clone(), version: gone.version, callback: callback.cloned() };
            Some(if gone.starts { Leads::Nowhere } else { back })
        };
        add(id, urls_of(workspace, deployed, id, &faces, |(_, callback)| leads(callback)));
    }
    for (trigger, spec) in deployed.flow.triggers.iter().enumerate() {
        let leads = |(face, callback): (&'static dyn Face, Option<&Name>)| {
            let callback = match callback {
                Some(name) => Some(routed(deployed, &deployed.flow, trigger, name)?),
                None => None,
            };
            let (workspace, flow) = (workspace.clone(), Arc::clone(&deployed.flow));
            Some(Leads::Here(Route { workspace, flow, trigger, face, callback, prefix: None }))
        };
        add(&spec.id, urls_of(workspace, deployed, &spec.id, &spec.faces, leads));
    }
    all
}

/// The URLs of one trigger, each with where it leads.
fn urls_of(
    workspace: &Name,
    deployed: &Deployed,
    trigger: &Name,
    faces: &[&'static dyn Face],
    leads: impl Fn((&'static dyn Face, Option<&Name>)) -> Option<Leads>,
) -> Vec<(Place, Leads)> {
    let Some(ids) = deployed.record.ids.get(trigger) else { return Vec::new() };
    let mut found = Vec::new();
    for face in faces.iter().copied() {
        let callbacks: Vec<(Option<&Name>, Option<&CallbackIds>)> = match face.has_callbacks() {
            false => vec![(None, None)],
            true => ids.callbacks.iter().map(|(name, callback)| (Some(name), Some(callback))).collect(),
        };
        for (name, callback) in callbacks {
            let environment = &Name::default_name();
            let path = face.path(&Target { workspace, ids, callback, environment, prefix: None });
            let address = path.and_then(|path| face.address(path.split('?').next()?));
            if let (Some(address), Some(leads)) = (address, leads((face, name))) {
                found.push(((face.name(), address.key), leads));
            }
        }
    }
    found
}

fn routed(deployed: &Deployed, flow: &Flow, trigger: usize, callback: &Name) -> Option<RoutedCallback> {
    let trigger = flow.triggers.get(trigger)?;
    let spec = trigger.callbacks.iter().find(|spec| spec.name == *callback)?;
    let ids = deployed.record.ids.get(&trigger.id)?.callbacks.get(callback)?.clone();
    Some(RoutedCallback { ids, content_type: spec.content_type.clone() })
}

impl Flows {
    /// Where a path leads. What has to be guessed in it is random: the time of a look-up tells nothing.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn route(&self, path: &str) -> Result<Option<Route>, StoreError> {
        let (face, back, prefix) = {
            let table = self.inner.deployed.load();
            let found = face::addresses(path).find_map(|(face, Address { key, prefix })| {
                let url = table.urls.get(&(face.name(), key))?;
                Some((face, url, prefix))
            });
            let Some((face, url, prefix)) = found else { return Ok(None) };
            match &url.leads {
                Leads::Nowhere => return Ok(None),
                Leads::Here(route) => return Ok(Some(Route { prefix, ..route.clone() })),
                Leads::Back { .. } => (face, url.clone(), prefix),
            }
        };
        // On the heap: what is rare must not make the work of every callback larger.
        Box::pin(self.route_back(face, back, prefix)).await
    }

    /// Where a URL leads that only an earlier version had.
    async fn route_back(
        &self,
        face: &'static dyn Face,
        url: Url,
        prefix: Option<String>,
    ) -> Result<Option<Route>, StoreError> {
        let Url { workspace, flow: name, leads: Leads::Back { trigger, version, callback }, .. } = url else {
            return Ok(None);
        };
        let Some(flow) = self.version(&workspace, &name, version).await? else { return Ok(None) };
        let Some(index) = ids::position(&flow, &trigger) else { return Ok(None) };
        let deployed = self.find(&workspace, &name);
        let of = callback.map(|name| deployed.and_then(|known| routed(&known, &flow, index, &name)));
        let callback = match of {
            None => None,
            Some(Some(routed)) => Some(routed),
            Some(None) => return Ok(None),
        };
        Ok(Some(Route { workspace, flow, trigger: index, face, callback, prefix }))
    }
}
