// The rules of this folder and the dashboards as a monitoring mixin, in the usual form: prometheusAlerts,
// prometheusRules and grafanaDashboards, configured by _config. It reads the same files as all other ways of
// installation, so it has no dependencies:
//
//   local portprobe = (import 'portprobe/alerts/mixin.libsonnet') + { _config+:: { portprobeSelector: 'job="portprobe"' } };
//   std.manifestYamlDoc(portprobe.prometheusAlerts)

local ruleFiles = {
  targets: importstr 'rules/targets.yaml',
  certificates: importstr 'rules/certificates.yaml',
  regions: importstr 'rules/regions.yaml',
  recording: importstr 'rules/recording.yaml',
  budget: importstr 'rules/budget.yaml',
  portprobe: importstr 'rules/portprobe.yaml',
  texts: importstr 'rules/texts.yaml',
  'blackbox-names': importstr 'rules/blackbox-names.yaml',
};

// Each threshold: its alert or recorded series, its default, and the texts that have it, with %s in place of the number.
local thresholds = {
  availabilityObjective: { of: 'portprobe:availability_objective:ratio', default: 0.999, texts: ['vector(%s)'] },
  certificateExpiringDays: { of: 'PortprobeCertificateExpiring', default: 30, texts: ['< %s * 86400', '%s days left'] },
  certificateExpiresSoonDays: { of: 'PortprobeCertificateExpiresSoon', default: 7, texts: ['< %s * 86400', '%s days left'] },
  lateSeconds: { of: 'PortprobeLate', default: 1, texts: ['> %s'] },
  outagesPerHour: { of: 'PortprobeTargetFlapping', default: 3, texts: ['>= %s'] },
  packetLoss: { of: 'PortprobePacketLoss', default: 0.05, texts: ['> %s'] },
  skippedProbes: { of: 'PortprobeSkippingProbes', default: 0.01, texts: ['> %s'] },
};

// Compared, because std.member is slow for a text. A colon follows the 9.
local isOfName(character) =
  (character >= 'a' && character <= 'z') || (character >= '0' && character <= ':') || character == '_';

// The length of the name at the start of a text.
local nameLength(text, at=0) =
  if at < std.length(text) && isOfName(text[at]) then nameLength(text, at + 1) tailstrict else at;

// The expression with the selector at each series of portprobe. Recorded series have them from these.
local select(expression, selector) =
  // Jsonnet before 0.20 splits only at single characters.
  local parts = std.split(std.strReplace(expression, 'portprobe_', '\u0001'), '\u0001');
  local selected(index) =
    local before = parts[index - 1];
    local last = std.length(before) - 1;
    local isName = last < 0 || !isOfName(before[last]);
    local length = nameLength(parts[index]);
    local name = std.substr(parts[index], 0, length);
    local rest = std.substr(parts[index], length, std.length(parts[index]));
    'portprobe_' + (
      if !isName then parts[index]
      else if std.startsWith(rest, '{') then name + '{' + selector + ', ' + std.substr(rest, 1, std.length(rest))
      else name + '{' + selector + '}' + rest
    );
  parts[0] + std.join('', [selected(index) for index in std.range(1, std.length(parts) - 1)]);

// A number as in the rule files.
local number(value) = if value == std.floor(value) then '%d' % value else '%g' % value;

{
  _config+:: {
    // Label matchers for the series of portprobe, such as job="portprobe". Empty: every portprobe.
    portprobeSelector: '',
    // Files of alerts/rules, without .yaml.
    ruleFiles: std.filter(function(name) name != 'blackbox-names', std.objectFields(ruleFiles)),
    // Address of your copy of RUNBOOK.md.
    runbookUrl: 'https://runbooks.example.com/portprobe/RUNBOOK.md',
    // Address of your Grafana.
    dashboardUrl: 'https://grafana.example.com',
    // Severities that differ from the files, such as { PortprobePacketLoss: 'info' }.
    severities: {},
    thresholds: { [name]: thresholds[name].default for name in std.objectFields(thresholds) },
  },

  local config = self._config,

  // The rule with changed thresholds, in its expression and in its description.
  local withThresholds(rule) =
    local name = std.get(rule, 'alert', std.get(rule, 'record'));
    local changed = [
      threshold
      for threshold in std.objectFields(thresholds)
      if thresholds[threshold].of == name && config.thresholds[threshold] != thresholds[threshold].default
    ];
    local replace(text, threshold) = std.foldl(
      function(text, pattern) std.strReplace(
        text,
        pattern % number(thresholds[threshold].default),
        pattern % number(config.thresholds[threshold])
      ),
      thresholds[threshold].texts,
      text
    );
    local all(text) = std.foldl(replace, changed, text);
    rule {
      expr: all(super.expr),
      [if std.objectHas(rule, 'annotations') then 'annotations']+: { description: all(super.description) },
    },

  local withSelector(rule) =
    if config.portprobeSelector == '' then rule
    else rule { expr: select(super.expr, config.portprobeSelector) },

  local withLinks(text) = std.strReplace(
    std.strReplace(text, 'https://runbooks.example.com/portprobe/RUNBOOK.md', config.runbookUrl),
    'https://grafana.example.com',
    config.dashboardUrl
  ),

  local withSeverity(rule) =
    if std.objectHas(rule, 'alert') && std.objectHas(config.severities, rule.alert)
    then rule { labels+: { severity: config.severities[rule.alert] } }
    else rule,

  local groups = [
    group { rules: [withSeverity(withSelector(withThresholds(rule))) for rule in super.rules] }
    for file in config.ruleFiles
    for group in std.parseYaml(withLinks(ruleFiles[file])).groups
  ],

  local hasAlerts(group) = std.length(std.filter(function(rule) std.objectHas(rule, 'alert'), group.rules)) > 0,

  // Groups stay whole, because an alert needs the series that its group records before it.
  prometheusAlerts+:: { groups+: std.filter(hasAlerts, groups) },
  prometheusRules+:: { groups+: std.filter(function(group) !hasAlerts(group), groups) },

  grafanaDashboards+:: {
    'portprobe-overview.json': import '../dashboards/portprobe-overview.json',
    'portprobe-target.json': import '../dashboards/portprobe-target.json',
    'portprobe-certificates.json': import '../dashboards/portprobe-certificates.json',
    'portprobe-exporter.json': import '../dashboards/portprobe-exporter.json',
  },
}
