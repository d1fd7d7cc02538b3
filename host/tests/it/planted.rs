//! The proofs have teeth: a server with a fault that was planted on purpose does not pass them.

use crate::faults::{Recorded, server};
use crate::ledger::check;
use crate::linearizability::check_histories;
use crate::load::{Api, World};
use crate::process::{Ledger, Server};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Built with the feature `planted-faults`.
fn binary() -> PathBuf {
    let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("planted/ringback");
    assert!(binary.exists(), "{} is missing; `cargo xtask helpers` builds it", binary.display());
    binary
}

/// What has to notice a fault.
#[derive(Clone, Copy)]
enum Proof {
    Chaos,
    Histories,
    /// A kill while one caller sends as fast as it is answered.
    Kill,
    PowerFailures,
}

/// A little of each proof: panics when it finds something.
async fn prove(proof: Proof, server: Server) {
    match proof {
        Proof::Histories => drop(check_histories(server, 11).await),
        Proof::PowerFailures => {
            let directory = server.data().parent().unwrap().to_owned();
            let recorded = Recorded::make(server, &directory).await;
            for seed in 0..40 {
                recorded.fail_power(seed).await;
            }
        }
        Proof::Kill => {
            let mut process = server.start();
            let api = Api::new(&process, server.data());
            let source = "flow: many\nsteps:\n  - trigger: Start\n  - trigger: Then\n";
            let path = api.deploy("many", source.to_owned()).await.unwrap().remove(0);
            let (client, url) = (reqwest::Client::new(), format!("{}{path}", process.public));
            let (began, mut acknowledged) = (Instant::now(), Vec::new());
            while began.elapsed() < Duration::from_secs(1) {
                let answer = client.post(&url).body("{}").send().await.unwrap();
                assert_eq!(answer.status(), 202);
                acknowledged.push(answer.headers()["ringback-callback"].to_str().unwrap().to_owned());
            }
            process.kill();
            let process = server.start();
            let api = Api::new(&process, server.data());
            for id in acknowledged {
                let found = api.get(&format!("/v1/callbacks/{id}")).await;
                assert!(found.is_some(), "the acknowledged callback {id} is lost");
            }
        }
        Proof::Chaos => {
            let ledger = Ledger::open(server.data().with_extension("ledger"));
            let mut world = None;
            for round in 0..5 {
                let mut process = server.start();
                let world = match &world {
                    None => {
                        let api = Api::new(&process, server.data());
                        world.insert(World::make(&api, ledger.clone(), "1s", false).await.unwrap())
                    }
                    Some(world) => world,
                };
                let senders = world.send(6, &process, server.data(), round);
                tokio::time::sleep(Duration::from_millis(600)).await;
                process.kill();
                senders.stop().await;
            }
            check(&server, &ledger.lines()).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn planted_faults_are_noticed() {
    let faults = [
        ("AcknowledgeBeforeSync", Proof::PowerFailures),
        ("TwoWinners", Proof::Histories),
        ("TimeoutAndCallback", Proof::Histories),
        ("AnyTakesTheYoungest", Proof::Histories),
        ("RevivedAfterRestart", Proof::Histories),
        ("ForgottenEnd", Proof::Kill),
        ("LostEarlyCallback", Proof::Chaos),
        ("ForgottenDelivery", Proof::Chaos),
    ];
    let prove_with = |fault: &'static str, proof| {
        let directory = tempfile::tempdir().unwrap();
        let server = server(&directory.path().join("data")).of(&binary()).with("PLANTED_FAULT", fault);
        tokio::spawn(async move {
            let _directory = directory;
            prove(proof, server).await;
        })
    };
    // Without a fault this server passes: it is the fault that is noticed.
    for proof in [Proof::Chaos, Proof::Histories, Proof::Kill, Proof::PowerFailures] {
        prove_with("none", proof).await.unwrap();
    }
    for (fault, proof) in faults {
        let noticed = prove_with(fault, proof).await.is_err();
        assert!(noticed, "not noticed: {fault}");
    }
    println!("planted faults: {0} of {0} noticed", faults.len());
}
