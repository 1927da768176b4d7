//! Every text of the page, in each of its languages. A language without one of them does not compile.
//!
//! Names of operations, invariants, hosts, faults and settings are what the system calls them, in every language; so are
//! the lines of a story and what an invariant says was wrong.

use record::result::{RunResult, Verdict};

use crate::limits::{Limit, Subject, limits};
use crate::units;

/// A language of the page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Language {
    /// English, the default.
    #[default]
    English,
    /// Chinese, in simplified characters.
    Chinese,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::English, Self::Chinese];

    /// What it is called on a command line: `en`, `zh`.
    pub fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
        }
    }

    /// What the page says of itself (BCP 47).
    pub(super) fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-Hans",
        }
    }

    pub(super) fn words(self) -> &'static Words {
        match self {
            Self::English => &ENGLISH,
            Self::Chinese => &CHINESE,
        }
    }
}

/// Declares the table of texts, and it once for each language, so that both stand beside each other.
macro_rules! words {
    ($($name:ident: $english:literal, $chinese:literal;)*) => {
        /// The texts of the page in one language.
        pub(super) struct Words {
            language: Language,
            $(pub(super) $name: &'static str,)*
        }

        const ENGLISH: Words = Words { language: Language::English, $($name: $english,)* };
        const CHINESE: Words = Words { language: Language::Chinese, $($name: $chinese,)* };
    };
}

words! {
    // The head.
    report: "Rehearsal report", "演练报告";
    held: "Held", "通过";
    violated: "Violated", "违反";
    slow: "Slow", "过慢";
    invalid: "Invalid", "无效";
    stopped: "Stopped", "已中止";
    seed: "Seed", "种子";
    engine: "Engine", "引擎";
    size: "Size", "规模";
    fingerprint: "Fingerprint", "指纹";
    simulated: "Simulated", "模拟时长";
    wall: "Wall time", "实际耗时";
    messages: "messages", "条消息";
    messages_delivered: "Messages", "消息数";
    mutants: "Planted bugs", "植入的缺陷";
    none: "none", "无";
    replay: "Replay", "重放";
    copy: "Copy", "复制";
    copied: "Copied", "已复制";
    theme: "Theme", "主题";
    auto: "Auto", "自动";
    light: "Light", "浅色";
    dark: "Dark", "深色";
    acknowledged: "Acknowledged", "已确认";
    peak_rate: "Peak achieved", "峰值完成速率";
    worst_recovery: "Slowest recovery", "最慢恢复";
    checks_made: "Checks", "检查次数";
    // Limits.
    limits: "Limits", "限值";
    limit: "limit", "限值";
    observed: "observed", "实测";
    share: "share of limit", "占限值";
    never: "never", "从未";
    missed: "missed", "未达标";
    met: "met", "达标";
    no_limits: "The scenario sets no limits.", "该场景未设限值。";
    // Over time.
    over_time: "Over time", "随时间变化";
    over_time_note: "One axis of simulated time for all charts. Point at a chart to read all of them at that moment.", "所有图表共用一条模拟时间轴。指向任一图表，可同时读取各图在该时刻的数值。";
    no_timeline: "This run recorded nothing over time.", "本次运行没有随时间的记录。";
    faults: "Faults and recovery", "故障与恢复";
    no_faults: "No fault was injected.", "未注入故障。";
    fault: "fault", "故障";
    noticed: "noticed", "发现故障";
    failover: "failover", "故障转移";
    failover_long: "failover: another instance took over", "故障转移：另一实例接管";
    back: "back", "恢复";
    not_back: "not seen to be back", "未见恢复";
    allowed: "allowed", "允许";
    load_ends: "load ends", "负载结束";
    violation: "violation", "违反";
    rto_long: "Recovery time: from the fault until what it touched succeeds again at 95 % of the rate before it, for 10 s", "恢复时间（RTO）：从故障开始，到受影响操作的成功率回到之前的 95 % 并保持 10 秒";
    rpo_long: "Data loss: the age, at the fault, of the oldest acknowledged write that is missing after recovery", "数据丢失（RPO）：恢复后缺失的最早一笔已确认写入，在故障发生时的时间距离";
    lost: "acknowledged but lost", "已确认但丢失";
    throughput: "Throughput", "吞吐量";
    per_second: "operations per second", "每秒操作数";
    offered: "offered", "发起";
    achieved: "achieved", "完成";
    refused: "refused", "拒绝";
    failed: "failed", "失败";
    unknown: "unknown", "未知";
    peak: "peak", "峰值";
    latency: "Latency", "延迟";
    latency_note: "percentiles over a heat map of all operations; logarithmic", "百分位曲线，底层为全部操作的热力图；对数刻度";
    stock: "Stock", "库存";
    orders: "Orders", "订单";
    under_way: "Operations under way", "进行中的操作";
    queue: "Queue", "队列";
    redis: "Redis", "Redis";
    network: "Network", "网络";
    busy: "Load of hosts", "主机负载";
    busy_note: "share of the cores' time that was worked; darker is busier", "核心忙碌时间占比；颜色越深越忙";
    each_operation: "Each operation over time", "各操作随时间变化";
    // Percentiles.
    percentiles: "Latency by percentile", "延迟百分位分布";
    percentiles_note: "Both axes logarithmic. Grey: the other operations. Dashed: limits.", "两轴均为对数刻度。灰色：其他操作。虚线：限值。";
    // What was lost.
    lost_operations: "Acknowledged but lost", "已确认但丢失的操作";
    operation: "operation", "操作";
    subject: "about", "对象";
    acknowledged_at: "acknowledged at", "确认时间";
    lost_at: "gone at", "丢失时间";
    // Invariants.
    invariants: "Invariants", "不变量";
    checks: "checks", "检查次数";
    never_checked: "never checked, so nothing is known", "从未检查，结论未知";
    at: "at", "时间";
    operations_of: "operations", "操作";
    story: "What led to", "经过：";
    story_note: "Solid arrows ask, dashed ones answer. The moment of the violation is marked.", "实线箭头为请求，虚线为应答；违反发生的时刻已标出。";
    // Topology.
    topology: "Hosts and links", "主机与链路";
    topology_note: "Clients on the left; to the right, whom they ask.", "左侧为客户端，向右依次为其调用的服务。";
    load: "load", "负载";
    received: "received", "接收";
    received_share: "messages, beside the busiest host", "消息量（相对最忙主机）";
    link_note: "lines: the wider, the more messages", "连线越粗，消息越多";
    links_left_out: "Lines with the fewest messages are left out.", "消息最少的连线未画出。";
    // Tables.
    operations: "Operations", "操作统计";
    outcomes: "ok: acknowledged · refused: a clear no · failed: nothing happened · unknown: no answer, may or may not have happened", "ok：已确认 · refused：明确拒绝 · failed：确定未发生 · unknown：无应答，可能已发生";
    settings: "Settings in effect", "生效的设置";
    no_settings: "No settings were recorded.", "没有记录设置。";
    coverage: "Places reached", "到达的代码位置";
    hits: "hits", "次数";
    reached: "reached", "已到达";
    // What a system carries.
    capacity: "Capacity", "容量";
    carries: "Measured", "已测定";
    no_level_met: "No level met", "无级别达标";
    load_of_each_level: "Load of each level", "每级负载时长";
    warm_up: "Left out at its beginning", "其中略去的开头";
    levels: "Levels", "负载级别";
    levels_note: "Of each run, what lies between its beginning and its end: without the time in which the load takes effect, and without that in which it drains away.", "每次运行只计中间的稳定时段：略去负载逐渐生效的开头和逐渐退去的结尾。";
    customers: "customers", "顾客";
    answered: "answered", "应答率";
    busiest_host: "busiest host", "最忙主机";
    growing: "not steady: ever more operations were under way", "不稳定：进行中的操作不断增多";
    latency_by_throughput: "Latency by throughput", "延迟随吞吐量变化";
    latency_by_throughput_note: "Logarithmic. A point for each level; diamonds miss their limit.", "对数刻度。每级一个点；菱形表示未达标。";
    mean_latency: "mean of all operations", "所有操作的均值";
    highest_rate: "last offered rate that meets the service levels, and the first that does not", "满足服务等级的最高发起速率，与不满足的最低速率";
    throughput_by_concurrency: "Throughput by operations under way", "吞吐量随进行中操作数变化";
    throughput_by_concurrency_note: "A point for each run.", "每次运行一个点。";
    law: "Universal scalability law", "通用可扩展性定律";
    knee: "knee", "拐点";
    ceiling: "ceiling", "上限";
    lambda: "operations per second of one under way", "单个进行中操作的每秒完成数";
    sigma: "contention: the share that is done one after the other", "争用：只能依次完成的部分";
    kappa: "coherency: what each costs each other", "一致性开销：彼此之间的代价";
    value: "value", "数值";
    interval: "95 % interval", "95 % 区间";
}

impl Words {
    /// Which language it is.
    pub(super) fn language(&self) -> Language {
        self.language
    }

    /// How a run ended, in one word.
    pub(super) fn verdict(&self, verdict: Verdict) -> &'static str {
        match verdict {
            Verdict::Held => self.held,
            Verdict::Violated => self.violated,
            Verdict::Slow => self.slow,
            Verdict::Invalid => self.invalid,
        }
    }

    /// The title of a group of gauges; groups of a system's own keep their names.
    pub(super) fn group(&self, group: &str) -> String {
        match group {
            "stock" => self.stock.to_owned(),
            "orders" => self.orders.to_owned(),
            "operations" => self.under_way.to_owned(),
            "queue" => self.queue.to_owned(),
            "redis" => self.redis.to_owned(),
            "network" => self.network.to_owned(),
            other => other.to_owned(),
        }
    }

    /// How many more there are.
    pub(super) fn and_more(&self, more: usize) -> String {
        let more = units::count(more as u64);
        match self.language {
            Language::English => format!("and {more} more"),
            Language::Chinese => format!("等，另有 {more} 个"),
        }
    }

    /// How many places of how many a run came by.
    pub(super) fn places(&self, reached: usize, all: usize) -> String {
        match self.language {
            Language::English => format!("{reached} of {all} reached"),
            Language::Chinese => format!("共 {all} 处，到达 {reached} 处"),
        }
    }

    /// That a story was longer.
    pub(super) fn lines_left_out(&self, lines: usize) -> String {
        let lines = units::count(lines as u64);
        match self.language {
            Language::English => format!("{lines} lines that say less are left out."),
            Language::Chinese => format!("省略了 {lines} 行次要内容。"),
        }
    }

    /// What a limit is on.
    pub(super) fn limit_name(&self, limit: &Limit<'_>) -> String {
        let (measure, after) = match limit.subject {
            Subject::Latency(_) => return limit.name(),
            Subject::RecoveryTime(after) => ("RTO", after),
            Subject::DataLoss(after) => ("RPO", after),
        };
        match (self.language, after.fault) {
            (Language::English, _) => limit.name(),
            (Language::Chinese, Some(fault)) => {
                format!("{measure}（{} 发生的 {} 之后）", units::seconds(fault.from_s), fault.kind)
            }
            (Language::Chinese, None) => {
                format!("{measure}（第 {} 个故障之后）", after.index.saturating_add(1))
            }
        }
    }

    /// Why the run ended as it did.
    pub(super) fn sentence(&self, result: &RunResult) -> String {
        match self.language {
            Language::English => crate::sections::verdict_sentence(result),
            Language::Chinese => chinese_sentence(result),
        }
    }
}

fn chinese_sentence(result: &RunResult) -> String {
    let limits = limits(result);
    let missed: Vec<String> =
        limits.iter().filter(|limit| !limit.met).map(|limit| CHINESE.limit_name(limit)).collect();
    match result.verdict {
        Verdict::Held if limits.is_empty() => format!("{}。", chinese_held(result)),
        Verdict::Held => format!("{}；{} 项限值达标。", chinese_held(result), limits.len()),
        Verdict::Slow => format!("{}；未达标的限值：{}。", chinese_held(result), missed.join("、")),
        Verdict::Violated => chinese_violated(result),
        Verdict::Invalid => "本次运行不能说明任何问题：负载发生器已饱和，或引擎出现分歧。".to_owned(),
    }
}

fn chinese_held(result: &RunResult) -> String {
    let all = result.invariants.len();
    let checked = result.invariants.iter().filter(|invariant| invariant.checks > 0).count();
    let checks = result.invariants.iter().fold(0_u64, |sum, invariant| sum.saturating_add(invariant.checks));
    let checks = units::count(checks);
    match checked {
        0 => "没有检查任何不变量".to_owned(),
        _ if checked < all => format!("{all} 个不变量中 {checked} 个在 {checks} 次检查中成立，其余从未检查"),
        _ => format!("全部 {all} 个不变量在 {checks} 次检查中成立"),
    }
}

fn chinese_violated(result: &RunResult) -> String {
    let broken = result.invariants.iter().filter(|invariant| !invariant.held);
    let names: Vec<String> = broken
        .map(|invariant| match &invariant.first_violation {
            Some(violation) => format!("{}（{}）", invariant.name, units::seconds(violation.at_s)),
            None => invariant.name.clone(),
        })
        .collect();
    match names.len() {
        0 => "有不变量被违反。".to_owned(),
        broken => format!("{} 个不变量中 {broken} 个被违反：{}。", result.invariants.len(), names.join("、")),
    }
}
