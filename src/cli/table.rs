//! A status as people read it: one line for the cluster, and a table of its members.

use std::fmt::Write;
use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

use crate::control::{ClusterStatus, MemberReport, ScheduleReport};

/// The columns, and whether they hold numbers.
const COLUMNS: [(&str, bool); 10] = [
    ("SLOT", false),
    ("PID", true),
    ("STATE", false),
    ("UP", true),
    ("RESTARTS", true),
    ("CPU", true),
    ("MEMORY", true),
    ("CONNS", true),
    ("MSG/S", true),
    ("LAST EXIT", false),
];

/// The same of schedules, where there are any.
const SCHEDULES: [(&str, bool); 7] = [
    ("SCHEDULE", false),
    ("NEXT IN", true),
    ("RUNNING", true),
    ("RUNS", true),
    ("FAILED", true),
    ("TOOK", true),
    ("LAST RUN", false),
];

/// What is not known, or not there.
const NOTHING_KNOWN: &str = "-";

/// What was not answered in time.
const UNANSWERED: &str = "?";

/// A last exit is a sentence. This much of it is shown where there is no end to a line.
const LAST_EXIT: usize = 80;

/// The status of the cluster that is called `name`, for lines of `width` characters. `None`: of any length.
///
/// A line that is too long is cut and not wrapped: the columns stand in the order in which they are missed.
///
/// `now`: since the beginning of 1970.
pub(super) fn table(name: &str, status: &ClusterStatus, now: Duration, width: Option<usize>) -> String {
    let mut text = fit(&headline(name, status), width);
    lay_out(COLUMNS, status.members.iter().map(row), width, &mut text);
    if let Some(schedules) = status.schedules.as_ref().filter(|schedules| !schedules.is_empty()) {
        lay_out(SCHEDULES, schedules.iter().map(|schedule| schedule_row(schedule, now)), width, &mut text);
    }
    for note in notes(status) {
        text.push_str(&fit(&note, width));
    }
    text
}

fn lay_out<const N: usize>(
    columns: [(&str, bool); N],
    rows: impl Iterator<Item = [String; N]>,
    width: Option<usize>,
    into: &mut String,
) {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(columns.map(|(title, _)| title));
    for row in rows {
        table.add_row(row);
    }
    for (column, (_, is_number)) in table.column_iter_mut().zip(columns) {
        // Two spaces between columns, and none before the first.
        column.set_padding((0, 2));
        if is_number {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for line in table.lines() {
        into.push_str(&fit(line.trim_end(), width));
    }
}

/// One line, no longer than fits, with its end.
fn fit(line: &str, width: Option<usize>) -> String {
    match width {
        Some(width) => shortened(line, width) + "\n",
        None => format!("{line}\n"),
    }
}

/// The beginning of a text, with a sign that there is more.
fn shortened(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        true => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

/// `web: ready, 5 of 5 members ready, up 3h 12m, master 4238, CPU 0.1 %, memory 5.2 MiB`
fn headline(name: &str, status: &ClusterStatus) -> String {
    let ready = status.members.iter().filter(|member| member.state == "ready").count();
    let wanted = status.members.iter().filter(|member| member.state != "stopped" && member.state != "draining").count();
    let mut line = format!(
        "{name}: {}, {ready} of {} members ready, up {}, master {}",
        status.stage,
        wanted + status.omitted,
        span(status.uptime),
        status.master_pid
    );
    if let Some(cpu) = status.cpu {
        let _ = write!(line, ", CPU {cpu:.1} %");
    }
    if let Some(memory) = status.memory {
        let _ = write!(line, ", memory {}", bytes(memory));
    }
    line
}

fn row(member: &MemberReport) -> [String; COLUMNS.len()] {
    let known = |text: Option<String>| text.unwrap_or_else(|| NOTHING_KNOWN.to_owned());
    let connections = match member.open_connections {
        Some(count) => count.to_string(),
        None if member.pid.is_some() && !member.answered => UNANSWERED.to_owned(),
        None => NOTHING_KNOWN.to_owned(),
    };
    [
        member.slot.clone(),
        known(member.pid.map(|pid| pid.to_string())),
        state(member),
        known(member.uptime.map(span)),
        member.restarts.to_string(),
        known(member.cpu.map(|cpu| format!("{cpu:.1} %"))),
        known(member.memory.map(bytes)),
        connections,
        known(member.messages_per_second.map(|rate| format!("{rate:.1}"))),
        known(member.last_exit.as_deref().map(one_line)),
    ]
}

fn schedule_row(schedule: &ScheduleReport, now: Duration) -> [String; SCHEDULES.len()] {
    let known = |text: Option<String>| text.unwrap_or_else(|| NOTHING_KNOWN.to_owned());
    let next = schedule.next_ms.map(|next| Duration::from_millis(next.max(0).unsigned_abs()));
    let last = schedule.last.as_ref();
    [
        one_line(&schedule.name),
        known(next.map(|next| span(next.saturating_sub(now)))),
        schedule.running.to_string(),
        schedule.runs.to_string(),
        schedule.failures.to_string(),
        known(last.map(|last| span(last.took))),
        known(last.map(|last| match &last.by {
            Some(by) => one_line(&format!("{} by {by}", last.outcome)),
            None => one_line(&last.outcome),
        })),
    ]
}

/// Its state, with what an operator should know besides.
fn state(member: &MemberReport) -> String {
    match (member.retry_in, member.exceptions) {
        (Some(left), _) => format!("{}, {}", member.state, span(left)),
        (None, 0) => member.state.clone(),
        (None, 1) => format!("{}, 1 exception", member.state),
        (None, many) => format!("{}, {many} exceptions", member.state),
    }
}

/// What the table cannot say.
fn notes(status: &ClusterStatus) -> Vec<String> {
    let mut notes = Vec::new();
    if status.omitted > 0 {
        notes.push(format!("and {} more members", status.omitted));
    }
    if !status.partial.is_empty() {
        notes.push(format!("partial: {} did not answer in time", status.partial.join(", ")));
    }
    notes
}

/// What others wrote, without what would move a cursor.
fn one_line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    shortened(&plain, LAST_EXIT)
}

/// A span in its two largest units.
fn span(span: Duration) -> String {
    let secs = span.as_secs();
    match (secs / 86_400, secs / 3_600 % 24, secs / 60 % 60, secs % 60) {
        (0, 0, 0, _) => format!("{}.{}s", secs, span.subsec_millis() / 100),
        (0, 0, minutes, secs) => format!("{minutes}m {secs}s"),
        (0, hours, minutes, _) => format!("{hours}h {minutes}m"),
        (days, hours, _, _) => format!("{days}d {hours}h"),
    }
}

/// A size in the unit that leaves the fewest digits before the point.
fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{value:.1} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(json: &str) -> ClusterStatus {
        serde_json::from_str(json).expect("a status")
    }

    const SOME: &str = r#"{"master_pid":4238,"uptime_ms":11520000,"stage":"ready","cpu":0.14,"memory":5452595,
        "omitted":0,"partial":["worker/1#3"],"schedules":null,"members":[
        {"slot":"agent/0","incarnation":1,"pid":4240,"state":"ready","uptime_ms":11519000,"restarts":0,"exceptions":1,
         "cpu":0.0,"memory":3145728,"open_connections":0,"messages_per_second":1.5,"last_exit":null,"retry_in_ms":null,
         "answered":true},
        {"slot":"worker/1","incarnation":3,"pid":4245,"state":"unresponsive","uptime_ms":4290,"restarts":2,
         "exceptions":0,"cpu":99.96,"memory":1073741824,"open_connections":null,"messages_per_second":null,
         "last_exit":"killed by signal 9\n\u001b[31m","retry_in_ms":null,"answered":false},
        {"slot":"worker/2","incarnation":7,"pid":null,"state":"parked","uptime_ms":null,"restarts":6,"exceptions":0,
         "cpu":null,"memory":null,"open_connections":null,"messages_per_second":null,"last_exit":"exited with code 3",
         "retry_in_ms":3900,"answered":false}]}"#;

    #[test]
    fn a_status_reads_as_a_line_and_a_table_and_says_what_is_missing() {
        let expected = "\
web: ready, 1 of 3 members ready, up 3h 12m, master 4238, CPU 0.1 %, memory 5.2 MiB
SLOT       PID  STATE                    UP  RESTARTS      CPU   MEMORY  CONNS  MSG/S  LAST EXIT
agent/0   4240  ready, 1 exception  3h 11m         0    0.0 %  3.0 MiB      0    1.5  -
worker/1  4245  unresponsive          4.2s         2  100.0 %  1.0 GiB      ?      -  killed by signal 9  [31m
worker/2     -  parked, 3.9s             -         6        -        -      -      -  exited with code 3
partial: worker/1#3 did not answer in time
";
        // The table library decides how wide a column is; the words in a line are ours.
        let words = |text: &str| -> Vec<Vec<String>> {
            text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
        };
        let shown = table("web", &status(SOME), Duration::ZERO, None);
        assert_eq!(words(&shown), words(expected), "\n{shown}");
        // Numbers end in the same column, and words begin in one.
        let lines: Vec<&str> = shown.lines().collect();
        let ends = |line: &str, word: &str| line.find(word).map(|at| at + word.len());
        assert_eq!(ends(lines[1], "MEMORY"), ends(lines[2], "MiB"), "\n{shown}");
        assert_eq!(lines[1].find("STATE"), lines[3].find("unresponsive"), "\n{shown}");
        assert_eq!(lines[1].find("LAST EXIT"), lines[4].find("exited"), "\n{shown}");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [1, 20, 79, 80, 81, 120] {
            let text = table("web", &status(SOME), Duration::ZERO, Some(width));
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}\n{text}");
            assert_eq!(text.lines().count(), 6);
        }
        assert!(table("web", &status(SOME), Duration::ZERO, Some(60)).lines().any(|line| line.ends_with('…')));
    }

    #[test]
    fn spans_and_sizes_have_the_units_that_people_use() {
        let said = [0, 900, 59_900, 60_000, 3_599_000, 3_600_000, 86_399_000, 90_000_000]
            .map(|millis| span(Duration::from_millis(millis)));
        assert_eq!(said, ["0.0s", "0.9s", "59.9s", "1m 0s", "59m 59s", "1h 0m", "23h 59m", "1d 1h"]);
        let said = [0, 1023, 1024, 1 << 20, 5 << 30, 3 << 50].map(bytes);
        assert_eq!(said, ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "5.0 GiB", "3072.0 TiB"]);
    }
    #[test]
    fn schedules_follow_their_members_with_their_next_run_and_their_last() {
        let mut status = status(SOME);
        let reports = r#"[{"name":"report","next_ms":1000060500,"running":1,"waiting":0,"runs":12,"failures":2,"skipped":0,"missed":0,
            "disabled":0,"last":{"due_ms":999999000,"took_ms":1500,"attempt":1,"outcome":"done","done":true,"by":"worker/1#3"}},
            {"name":"once","next_ms":null,"running":0,"waiting":0,"runs":0,"failures":0,"skipped":0,"missed":0,"disabled":0,
            "last":null}]"#;
        status.schedules = Some(serde_json::from_str(reports).expect("schedules"));
        let shown = table("web", &status, Duration::from_millis(1_000_000_000), None);
        let words: Vec<Vec<&str>> = shown.lines().rev().take(4).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            words[3],
            ["SCHEDULE", "NEXT", "IN", "RUNNING", "RUNS", "FAILED", "TOOK", "LAST", "RUN"],
            "\n{shown}"
        );
        assert_eq!(words[2], ["report", "1m", "0s", "1", "12", "2", "1.5s", "done", "by", "worker/1#3"], "\n{shown}");
        assert_eq!(words[1], ["once", "-", "0", "0", "0", "-", "-"], "\n{shown}");
    }
}
