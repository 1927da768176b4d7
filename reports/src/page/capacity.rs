//! `capacity.html`: what a system carries, on one page. Read without a script: values are beside their points.

use maud::{Markup, PreEscaped, html};
use record::capacity::{
    ANSWERED_MIN, Bottleneck, Capacity, Curve, Estimate, Fit, Knee, Level, NoFit, NoKnee, Sustained,
};
use record::result::{ServiceLevel, Verdict};

use super::axis::{Scale, Unit};
use super::figure::{key, percent, value_labels};
use super::head::theme_switch;
use super::language::{Language, Words};
use super::plot::{self, Mark};
use super::theme::Ink;
use super::{document, section};
use crate::capacity::{answer, digits, missed, rate, settings, share, violated};
use crate::sections::verdict_mark;
use crate::units;

/// Height of a chart in pixels.
const HEIGHT: u32 = 300;
/// Points of a drawn curve.
const STEPS: u32 = 160;
/// Concurrency is drawn by powers when the highest is so many times the lowest.
const WIDE: f64 = 30.0;

/// The page, complete, as the text of one file. Equal sweeps give equal pages.
pub fn render(capacity: &Capacity, language: Language) -> String {
    let words = language.words();
    let title = format!("{} · {}", words.capacity, capacity.scenario);
    let body = html! {
        (head(capacity, words))
        main {
            @for (index, curve) in capacity.curves.iter().enumerate() { (part(index, curve, words)) }
        }
    };
    document(language, &title, capacity.verdict, &body)
}

fn head(capacity: &Capacity, words: &Words) -> Markup {
    let seeds: Vec<String> = capacity.seeds.iter().map(u64::to_string).collect();
    let mutants = capacity.mutants.join(", ");
    html! {
        header.top {
            div.bar { span.brand { "Rehearse" } span { (words.capacity) } (theme_switch(words)) }
            div.title {
                span.verdict data-verdict=(capacity.verdict) {
                    (verdict_mark(capacity.verdict).symbol()) " " (verdict(capacity, words))
                }
                h1 { (capacity.scenario) }
            }
            @for curve in &capacity.curves {
                p.why { @if !curve.settings.is_empty() { b { (settings(curve)) } " · " } (sentence(curve, words)) }
            }
            @if let Some(stopped) = stopped(capacity, words) { p.why { b { (stopped) } } }
            @if !capacity.about.is_empty() { p.about { (capacity.about) } }
            dl.facts {
                div { dt { (words.seed) } dd { (seeds.join(", ")) } }
                div { dt { (words.engine) } dd { (capacity.engine) } }
                div { dt { (words.load_of_each_level) } dd { (units::seconds(capacity.load_s)) } }
                div { dt { (words.warm_up) } dd { (units::seconds(capacity.warm_up_s)) } }
                @if !mutants.is_empty() { div.warned { dt { (words.mutants) } dd { (mutants) } } }
            }
            div.replay { span.label { (words.replay) } code { (capacity.replay) } }
        }
    }
}

fn stopped(capacity: &Capacity, words: &Words) -> Option<String> {
    let english = crate::capacity::stopped(capacity)?;
    Some(match words.language() {
        Language::English => english,
        Language::Chinese => format!("已中止：{} 个负载级别未运行。", capacity.levels_not_played),
    })
}

fn verdict(capacity: &Capacity, words: &Words) -> &'static str {
    match capacity.verdict {
        Verdict::Held => words.carries,
        Verdict::Slow => words.no_level_met,
        Verdict::Invalid if capacity.levels_not_played > 0 => words.stopped,
        verdict @ (Verdict::Violated | Verdict::Invalid) => words.verdict(verdict),
    }
}

/// All that there is of one combination of settings.
fn part(index: usize, curve: &Curve, words: &Words) -> Markup {
    let body = html! {
        (latency_chart(index, curve, words))
        (throughput_chart(index, curve, words))
        (levels(curve, words))
        @if let Some(fit) = &curve.fit { (law(fit, words)) }
    };
    let title = match settings(curve) {
        settings if settings.is_empty() => words.levels.to_owned(),
        settings => settings,
    };
    section(&format!("curve-{index}"), &title, words.levels_note, &body)
}

/// Where the values of a chart stand from left to right.
struct Across {
    scale: Scale,
    unit: Unit,
}

impl Across {
    fn at(&self, value: f64) -> f64 {
        self.scale.height(value)
    }

    fn labels(&self) -> Markup {
        html! {
            div.times aria-hidden="true" {
                @for (value, text) in self.scale.ticks(&self.unit) {
                    @let left = percent(self.at(value));
                    span.end[left > 97.0] style={ "left:" (left) "%" } { (text) }
                }
            }
        }
    }

    fn grid(&self) -> impl Iterator<Item = Mark> {
        let ticks = self.scale.ticks(&self.unit).into_iter();
        ticks.map(|(value, _)| Mark::Down { x: self.at(value), ink: Ink::Grid })
    }
}

/// One chart: what is drawn, and what stands beside it.
struct Chart {
    id: String,
    title: &'static str,
    note: &'static str,
    across: Across,
    up: Scale,
    unit: Unit,
    marks: Vec<Mark>,
    /// Points with what they are: where, whether they are good, and what a reader who asks is told.
    dots: Vec<(f64, f64, bool, String)>,
    /// Names of lines.
    legend: Vec<(Ink, String)>,
    /// Texts at heights.
    labels: Vec<(f64, String)>,
}

impl Chart {
    fn render(&self) -> Markup {
        let mut marks: Vec<Mark> = self.across.grid().collect();
        let grid = self.up.ticks(&self.unit);
        marks
            .extend(grid.iter().map(|(value, _)| Mark::Across { y: self.up.height(*value), ink: Ink::Grid }));
        marks.extend(self.marks.iter().cloned());
        html! {
            figure.chart id=(self.id) {
                figcaption { h3 { (self.title) } span.note { (self.note) } }
                ul.legend { @for (ink, name) in &self.legend { li { (key(*ink)) span.name { (name) } } } }
                div.plot {
                    (value_labels(&self.up, &self.unit))
                    div.area style={ "height:" (HEIGHT) "px" } {
                        (PreEscaped(plot::draw(HEIGHT, (0.0, 1.0), &marks)))
                        @for (x, y, good, text) in &self.dots {
                            span.limit-dot.missed[!good] title=(text) style={ "left:" (percent(*x)) "%;bottom:" (percent(*y)) "%" } {}
                        }
                        @for (y, text) in &self.labels {
                            span.limit-label style={ "bottom:" (percent(*y)) "%" } { (text) }
                        }
                    }
                    (self.across.labels())
                }
            }
        }
    }
}

fn per_s() -> Unit {
    Unit::Named("/s".to_owned())
}

/// Latency over what was achieved: the mean of all operations, and what has a limit.
fn latency_chart(index: usize, curve: &Curve, words: &Words) -> Markup {
    let ends = [curve.sustained.met_per_s, curve.sustained.missed_per_s].into_iter().flatten();
    let achieved = curve.levels.iter().map(|level| level.achieved_per_s);
    let across = Across { scale: Scale::linear(achieved.chain(ends.clone())), unit: per_s() };
    let limited: Vec<&ServiceLevel> =
        curve.levels.first().map(|level| level.service_levels.iter().collect()).unwrap_or_default();
    let observed = |level: &Level, name: &str| {
        level
            .service_levels
            .iter()
            .find(|limit| limit.name == name)
            .map(|limit| (limit.observed_us as f64, limit.met))
    };
    let all = curve.levels.iter().flat_map(|level| {
        let limits =
            level.service_levels.iter().flat_map(|limit| [limit.observed_us as f64, limit.limit_us as f64]);
        limits.chain([mean_us(level)])
    });
    let up = Scale::log(&all.collect::<Vec<_>>());
    let mut chart = Chart {
        id: format!("chart-latency-{index}"),
        title: words.latency_by_throughput,
        note: words.latency_by_throughput_note,
        up,
        unit: Unit::Latency,
        marks: Vec::new(),
        dots: Vec::new(),
        legend: vec![(Ink::Series(0), words.mean_latency.to_owned())],
        labels: Vec::new(),
        across,
    };
    let x = |level: &Level| chart.across.at(level.achieved_per_s);
    let line = |of: &dyn Fn(&Level) -> f64| {
        curve.levels.iter().map(|level| (x(level), up.height(of(level)))).collect()
    };
    let mut marks = vec![Mark::Line { points: line(&mean_us), ink: Ink::Series(0), bold: true }];
    let mut dots = Vec::new();
    for (number, limit) in limited.iter().enumerate() {
        let ink = Ink::series(number + 1);
        let value = |level: &Level| observed(level, &limit.name).map_or(0.0, |(observed, _)| observed);
        marks.push(Mark::Line { points: line(&value), ink, bold: true });
        let y = up.height(limit.limit_us as f64);
        marks.push(Mark::Across { y, ink: Ink::Limit });
        // Equal limits share a line.
        let sharing = limited.iter().filter(|other| other.limit_us == limit.limit_us);
        let names: Vec<&str> = sharing.map(|other| other.name.as_str()).collect();
        if names.first() == Some(&limit.name.as_str()) {
            let label = format!("{} ≤ {}", names.join(", "), units::latency(limit.limit_us));
            chart.labels.push((y, label));
        }
        chart.legend.push((ink, limit.name.clone()));
        dots.extend(curve.levels.iter().filter_map(|level| {
            let (observed, met) = observed(level, &limit.name)?;
            let text = format!(
                "{}/s: {} {}",
                rate(level.achieved_per_s),
                limit.name,
                units::latency(observed as u64)
            );
            Some((x(level), up.height(observed), met, text))
        }));
    }
    // What the service levels allow at most lies between these two.
    marks.extend(ends.map(|rate| Mark::Down { x: chart.across.at(rate), ink: Ink::P95 }));
    chart.legend.push((Ink::P95, words.highest_rate.to_owned()));
    chart.marks = marks;
    chart.dots = dots;
    chart.render()
}

/// By Little's law, in microseconds.
fn mean_us(level: &Level) -> f64 {
    level.concurrency / level.achieved_per_s.max(f64::MIN_POSITIVE) * 1e6
}

/// What was achieved over operations under way, with the fitted curve.
fn throughput_chart(index: usize, curve: &Curve, words: &Words) -> Markup {
    let runs = || curve.levels.iter().flat_map(|level| level.runs.iter().map(move |run| (level, run)));
    let concurrencies: Vec<f64> = runs().map(|(_, run)| run.concurrency).filter(|n| *n > 0.0).collect();
    let (least, most) =
        concurrencies.iter().fold((f64::INFINITY, 0.0_f64), |(a, b), n| (a.min(*n), b.max(*n)));
    let scale = match most / least > WIDE {
        true => Scale::log(&concurrencies),
        false => Scale::linear(concurrencies),
    };
    let across = Across { scale, unit: Unit::Named(String::new()) };
    let ceiling = curve.fit.as_ref().and_then(|fit| fit.ceiling).map(|ceiling| ceiling.per_s);
    let highest = runs().map(|(_, run)| run.achieved_per_s).fold(0.0, f64::max);
    // A ceiling far above all that was measured would press the rest to the ground.
    let ceiling = ceiling.filter(|ceiling| *ceiling < highest * 1.6);
    let up = Scale::linear(runs().map(|(_, run)| run.achieved_per_s).chain(ceiling));
    let dots = runs().map(|(level, run)| {
        let text = format!(
            "{}×, {} {}: {} {}, {}/s",
            level.factor,
            words.seed,
            run.seed,
            rate(run.concurrency),
            words.under_way,
            rate(run.achieved_per_s)
        );
        (across.at(run.concurrency), up.height(run.achieved_per_s), level.met, text)
    });
    let mut chart = Chart {
        id: format!("chart-throughput-{index}"),
        title: words.throughput_by_concurrency,
        note: words.throughput_by_concurrency_note,
        dots: dots.collect(),
        up,
        unit: per_s(),
        marks: Vec::new(),
        legend: Vec::new(),
        labels: Vec::new(),
        across,
    };
    if let Some(fit) = &curve.fit {
        let steps =
            (1..=STEPS).map(|step| least * (most / least).powf(f64::from(step - 1) / f64::from(STEPS - 1)));
        let points = steps.map(|n| (chart.across.at(n), up.height(fit.throughput(n)))).collect();
        chart.marks.push(Mark::Line { points, ink: Ink::Series(0), bold: true });
        chart.legend.push((Ink::Series(0), words.law.to_owned()));
        if let Some(Knee { concurrency, per_s }) = &fit.knee {
            chart.marks.push(Mark::Down { x: chart.across.at(concurrency.value), ink: Ink::P95 });
            chart.legend.push((
                Ink::P95,
                format!("{} {}/s, {}", words.knee, digits(per_s.value, 3), digits(concurrency.value, 3)),
            ));
        }
        if let Some(ceiling) = ceiling {
            let y = up.height(ceiling);
            chart.marks.push(Mark::Across { y, ink: Ink::Limit });
            chart.labels.push((y, format!("{} {}/s", words.ceiling, digits(ceiling, 3))));
        }
    }
    chart.render()
}

fn levels(curve: &Curve, words: &Words) -> Markup {
    let limits = curve.levels.first().map(|level| &level.service_levels[..]).unwrap_or_default();
    html! {
        div.scroll { table.levels {
            thead { tr {
                th.figure { (words.load) } th.figure { (words.customers) } th.figure { (words.offered) } th.figure { (words.achieved) }
                th.figure { (words.answered) } th.figure { (words.under_way) }
                @for limit in limits { th.figure { (limit.name) } }
                th { (words.busiest_host) }
            } }
            tbody {
                @for level in &curve.levels {
                    tr.missed[!level.met] {
                        th.figure scope="row" { span.mark { @if level.met { "✓" } @else { "✗" } } " " (level.factor) "×" }
                        td.figure { (rate(level.customers_per_s)) "/s" }
                        td.figure { (rate(level.offered_per_s)) "/s" }
                        td.figure { (rate(level.achieved_per_s)) "/s" }
                        td.figure { (share(level.answered)) }
                        td.figure { (rate(level.concurrency)) @if level.is_growing { " ↗" } }
                        @for limit in &level.service_levels {
                            td.figure { (units::latency(limit.observed_us)) @if !limit.met { " ✗" } }
                        }
                        td { @if let Some(host) = level.hosts.first() { (host.name) " " (share(host.busy)) } }
                    }
                }
            }
        } }
        @if curve.levels.iter().any(|level| level.is_growing) { p.note { "↗ " (words.growing) } }
    }
}

fn law(fit: &Fit, words: &Words) -> Markup {
    let mut rows: Vec<(&str, &Estimate, &str)> = vec![
        ("λ", &fit.lambda, words.lambda),
        ("σ", &fit.sigma, words.sigma),
        ("κ", &fit.kappa, words.kappa),
    ];
    if let Some(knee) = &fit.knee {
        rows.push((words.knee, &knee.concurrency, words.under_way));
        rows.push((words.knee, &knee.per_s, words.per_second));
    }
    html! {
        figure.chart {
            figcaption { h3 { (words.law) } span.note { "X(N) = λN / (1 + σ(N − 1) + κN(N − 1)) · R² " (format!("{:.3}", fit.r_squared)) } }
            div.scroll { table {
                thead { tr { th {} th.figure { (words.value) } th.figure { (words.interval) } th {} } }
                tbody {
                    @for (name, estimate, what) in rows {
                        tr {
                            th scope="row" { (name) }
                            td.figure { (digits(estimate.value, 3)) }
                            td.figure { (digits(estimate.low, 3)) " – " @if let Some(high) = estimate.high { (digits(high, 3)) } @else { "∞" } }
                            td { (what) }
                        }
                    }
                }
            } }
        }
    }
}

/// The answer in the language of the page.
fn sentence(curve: &Curve, words: &Words) -> String {
    match words.language() {
        Language::English => answer(curve),
        Language::Chinese => chinese(curve),
    }
}

fn chinese(curve: &Curve) -> String {
    let mut sentences = vec![chinese_sustained(&curve.sustained)];
    sentences.extend(curve.bottleneck.as_ref().map(chinese_bottleneck));
    sentences.push(chinese_knee(curve));
    if let Some(violated) = violated(curve, "、") {
        sentences.insert(0, format!("违反：{violated}。"));
    }
    sentences.concat()
}

fn chinese_sustained(sustained: &Sustained) -> String {
    let missed = missed(sustained, format!("应答率 {}", share(ANSWERED_MIN)), "、");
    match (sustained.met_per_s, sustained.missed_per_s) {
        (Some(met), Some(at)) => {
            let about =
                sustained.about_per_s.map(|about| format!("，约 {}/s", rate(about))).unwrap_or_default();
            format!(
                "满足服务等级的最高速率在 {} 与 {}/s 之间{about}；再高则未达标：{missed}。",
                rate(met),
                rate(at)
            )
        }
        (Some(met), None) => format!("所有负载级别都满足服务等级，直到 {}/s：上限更高。", rate(met)),
        (None, Some(at)) => format!("所运行的最低负载级别 {}/s 已不满足服务等级：{missed}。", rate(at)),
        (None, None) => "没有运行任何负载级别。".to_owned(),
    }
}

fn chinese_bottleneck(bottleneck: &Bottleneck) -> String {
    let host = &bottleneck.host;
    let full = bottleneck
        .full_per_s
        .map(|full| format!("（按利用率定律，{}/s 时用尽）", rate(full)))
        .unwrap_or_default();
    match (bottleneck.free_per_s, bottleneck.saturated_per_s) {
        (Some(free), Some(saturated)) => {
            format!("{host} 最先饱和，在 {} 与 {}/s 之间{full}。", rate(free), rate(saturated))
        }
        (None, Some(saturated)) => format!("{host} 在所运行的最低负载级别 {}/s 已饱和。", rate(saturated)),
        (_, None) => format!("没有主机饱和；最忙的是 {host}{full}。"),
    }
}

fn chinese_knee(curve: &Curve) -> String {
    let Some(fit) = &curve.fit else {
        return match curve.no_fit {
            Some(NoFit::TooFewLevels { needed, measured }) => {
                format!("{measured} 个负载级别不足以判断拐点：需要 {needed} 个。")
            }
            Some(NoFit::NoCurve) | None => "无法判断拐点：通用可扩展性定律不能描述这些数据。".to_owned(),
        };
    };
    match (&fit.knee, fit.no_knee) {
        (Some(knee), _) => {
            let (per_s, under_way) = (digits(knee.per_s.value, 3), digits(knee.concurrency.value, 3));
            format!("拐点在 {per_s}/s，此时有 {under_way} 个操作在进行。")
        }
        (None, Some(NoKnee::AboveTheLevels { measured, knee })) => {
            format!(
                "未达到拐点：最高负载有 {} 个操作在进行，曲线将在 {} 个时弯曲。",
                rate(measured),
                rate(knee)
            )
        }
        (None, Some(NoKnee::BetweenTheLevels { measured, next })) => {
            format!(
                "无法判断拐点：曲线弯曲处（{} 与 {} 个进行中的操作之间）没有测量。",
                rate(measured),
                rate(next)
            )
        }
        (None, Some(NoKnee::BelowTheLevels { measured, knee })) => {
            format!(
                "拐点低于所测负载：最低负载有 {} 个操作在进行，曲线在 {} 个时弯曲。",
                rate(measured),
                rate(knee)
            )
        }
        (None, Some(NoKnee::StraightLine) | None) => "没有拐点：所测负载远未接近系统的承载能力。".to_owned(),
    }
}
