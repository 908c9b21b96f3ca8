//! Work that ends: Jobs and CronJobs with kubectl.

use crate::harness::{Fixture, Test, eventually};

pub const TESTS: &[Test] = &[
    ("completions", completions),
    ("indexes", indexes),
    ("failures", failures),
    ("suspended_and_resumed", suspended_and_resumed),
    ("cron", cron),
];

fn job(name: &str, spec: &str, script: &str) -> String {
    format!(
        "
apiVersion: batch/v1
kind: Job
metadata: {{name: {name}}}
spec:
{spec}
  template:
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 1
      containers:
      - {{name: c, image: \"kd-test/busybox:1\", command: [sh, -c, '{script}']}}
"
    )
}

fn apply(fixture: &Fixture, namespace: &str, manifest: &str) {
    fixture.kubectl_in(fixture.cluster(), &["-n", namespace, "apply", "-f", "-"], manifest).ok();
}

fn wait(fixture: &Fixture, namespace: &str, condition: &str, object: &str) {
    let condition = format!("--for=condition={condition}");
    fixture.kubectl(&["-n", namespace, "wait", &condition, object, "--timeout=90s"]).ok();
}

fn status(fixture: &Fixture, namespace: &str, object: &str, path: &str) -> String {
    let path = format!("jsonpath={{.status.{path}}}");
    fixture.kubectl(&["-n", namespace, "get", object, "-o", &path]).ok().out
}

fn completions(fixture: &Fixture) {
    let n = fixture.namespace("job-completions");
    apply(fixture, &n, &job("j", "  completions: 3\n  parallelism: 2", "echo done"));
    wait(fixture, &n, "complete", "job/j");
    assert_eq!(status(fixture, &n, "job/j", "succeeded"), "3");
    assert_eq!(status(fixture, &n, "job/j", "uncountedTerminatedPods"), "{}");
    fixture.kubectl(&["-n", &n, "logs", "job/j"]).ok().prints("done");
    fixture.kubectl(&["-n", &n, "events", "--for", "job/j"]).ok().prints("Job completed");
    // Counted pods have nothing that keeps them: they go with the Job.
    fixture.kubectl(&["-n", &n, "delete", "job", "j"]).ok();
    fixture
        .kubectl(&["-n", &n, "wait", "--for=delete", "pod", "-l", "job-name=j", "--timeout=60s"])
        .ok();
}

fn indexes(fixture: &Fixture) {
    let n = fixture.namespace("job-indexes");
    let spec = "  completions: 3\n  parallelism: 3\n  completionMode: Indexed\n  \
                backoffLimitPerIndex: 0\n";
    let script = "echo $JOB_COMPLETION_INDEX $(hostname); test $JOB_COMPLETION_INDEX != 1";
    apply(fixture, &n, &job("j", spec, script));
    wait(fixture, &n, "failed", "job/j");
    assert_eq!(status(fixture, &n, "job/j", "completedIndexes"), "0,2");
    assert_eq!(status(fixture, &n, "job/j", "failedIndexes"), "1");
    let selector = "batch.kubernetes.io/job-completion-index=2";
    fixture.kubectl(&["-n", &n, "logs", "-l", selector]).ok().prints("2 j-2");
}

fn failures(fixture: &Fixture) {
    let n = fixture.namespace("job-failures");
    let policy = "  backoffLimit: 5\n  podFailurePolicy:\n    rules:\n    - action: FailJob\n      \
                  onExitCodes: {operator: In, values: [42]}\n";
    apply(fixture, &n, &job("coded", policy, "exit 42"));
    apply(fixture, &n, &job("late", "  activeDeadlineSeconds: 1", "sleep 600"));
    wait(fixture, &n, "failed", "job/coded");
    wait(fixture, &n, "failed", "job/late");
    let reason = |job: &str| status(fixture, &n, job, "conditions[?(@.type==\"Failed\")].reason");
    assert_eq!(reason("job/coded"), "PodFailurePolicy");
    assert_eq!(reason("job/late"), "DeadlineExceeded");
}

fn suspended_and_resumed(fixture: &Fixture) {
    let n = fixture.namespace("job-suspended");
    apply(fixture, &n, &job("j", "  suspend: true\n  ttlSecondsAfterFinished: 0", "true"));
    wait(fixture, &n, "suspended", "job/j");
    fixture.kubectl(&["-n", &n, "patch", "job/j", "-p", r#"{"spec":{"suspend":false}}"#]).ok();
    // It runs, and goes as soon as it has ended.
    fixture.kubectl(&["-n", &n, "wait", "--for=delete", "job/j", "--timeout=90s"]).ok();
}

fn cron(fixture: &Fixture) {
    let n = fixture.namespace("cron");
    let manifest = "
apiVersion: batch/v1
kind: CronJob
metadata: {name: c}
spec:
  schedule: '@every 1s'
  timeZone: Europe/Paris
  successfulJobsHistoryLimit: 3
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: c, image: \"kd-test/busybox:1\", command: ['true']}]
";
    apply(fixture, &n, manifest);
    eventually("a successful run", || {
        let time = status(fixture, &n, "cronjob/c", "lastSuccessfulTime");
        (!time.is_empty()).then_some(())
    });
    fixture.kubectl(&["-n", &n, "patch", "cronjob/c", "-p", r#"{"spec":{"suspend":true}}"#]).ok();
    fixture.kubectl(&["-n", &n, "create", "job", "by-hand", "--from=cronjob/c"]).ok();
    wait(fixture, &n, "complete", "job/by-hand");
    fixture.kubectl(&["-n", &n, "delete", "cronjob/c"]).ok();
    fixture.kubectl(&["-n", &n, "wait", "--for=delete", "job", "--all", "--timeout=60s"]).ok();
}
