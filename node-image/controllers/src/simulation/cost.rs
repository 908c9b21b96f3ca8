//! Figures, printed: what a wake that changes nothing costs each controller.
//! `cargo test --release -p kd-controllers cost -- --ignored --nocapture --test-threads 1`

use std::time::{Duration, Instant};

use kd_client::Change;

use super::{Config, Simulation};

const ROUNDS: u32 = 20;

#[test]
#[ignore = "prints figures"]
fn a_wake_that_changes_nothing() {
    let mut simulation = Simulation::new(1);
    simulation.rest();
    let view = simulation.world.view();
    let now = simulation.world.now();
    let config = Config::new("10.244.0.0/16".parse().expect("a range"), 24, "PEM");
    println!("{:48} {:>6} {:>12} {:>12}", "controller", "wakes", "mean", "worst");
    for controller in crate::controllers(&config) {
        let (mut wakes, mut total, mut worst) = (0, Duration::ZERO, Duration::ZERO);
        let read = |plural: &str| {
            controller.reads_everything()
                || controller.interests().iter().any(|i| i.resource.plural == plural)
        };
        for resource in view.resources().filter(|resource| read(&resource.plural)) {
            for object in view.objects(resource, None) {
                let state = Some(object.clone());
                let change = Change { resource: resource.clone(), old: state.clone(), new: state };
                for _ in 0..ROUNDS {
                    let begun = Instant::now();
                    let targets = controller.targets(&view, &change);
                    let plans =
                        targets.iter().map(|target| controller.reconcile(&view, target, now));
                    let idle = plans.filter(|plan| plan.is_empty()).count();
                    let took = begun.elapsed();
                    // Whoever has something to do, or several targets, is another matter.
                    if targets.len() == 1 && idle == 1 {
                        wakes += 1;
                        total += took;
                        worst = worst.max(took);
                    }
                }
            }
        }
        let mean = total.checked_div(wakes).unwrap_or_default();
        println!("{:48} {wakes:>6} {mean:>12?} {worst:>12?}", controller.name());
    }
}
