//! What a call of a plugin is about, as the plugin may see it.

use ringback_records::callback::Callback;
use ringback_records::name::Name;
use ringback_rules::execution::Execution;
use serde_json::Value;
use std::sync::Arc;

/// What a call is about.
#[derive(Clone, Debug)]
pub struct Subject {
    pub workspace: Name,
    /// Whose secrets it can use.
    pub environment: Name,
    pub callback: Option<Arc<Callback>>,
    /// The parsed data, once it is parsed.
    pub data: Option<Arc<Value>>,
    pub execution: Option<Arc<ExecutionView>>,
    /// Whether the call must leave nothing behind.
    pub dry_run: bool,
}

impl Subject {
    /// The subject of a condition that asks no plugin: nothing of it is seen.
    pub fn unseen(workspace: &Name, environment: &Name) -> Self {
        Self {
            workspace: workspace.clone(),
            environment: environment.clone(),
            callback: None,
            data: None,
            execution: None,
            dry_run: false,
        }
    }

    /// The subject of a call that is about nothing, and leaves nothing behind.
    pub(crate) fn tried(workspace: &Name) -> Self {
        Self { dry_run: true, ..Self::unseen(workspace, &Name::default_name()) }
    }

    pub fn of_execution(workspace: &Name, execution: &Execution) -> Self {
        let view = ExecutionView {
            id: execution.summary.id.to_string(),
            flow: execution.summary.flow.to_string(),
            environment: execution.summary.environment.to_string(),
            scope: execution.scope().to_json(),
        };
        let data = Some(Arc::clone(&execution.scope().input.data));
        let environment = &execution.summary.environment;
        let execution = Some(Arc::new(view));
        Self { data, execution, ..Self::unseen(workspace, environment) }
    }
}

/// An execution as a plugin sees it.
#[derive(Debug)]
pub struct ExecutionView {
    pub id: String,
    pub flow: String,
    pub environment: String,
    pub scope: Value,
}
