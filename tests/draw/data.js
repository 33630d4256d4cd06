// Queries as Grafana sends them, and their results as data frames.

import {
  applyFieldOverrides, cacheFieldDisplayNames, dataLinksOverrideProcessor, FieldConfigOptionsRegistry, FieldType,
  standardTransformers, standardTransformersRegistry, transformDataFrame,
} from '@grafana/data';
import { lastValueFrom } from 'rxjs';

// The steps that Grafana rounds to, in seconds.
const STEPS = [1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

// The step of a panel: the range by points, rounded, but at least a scrape interval and that of the panel.
export function stepOf(panel, width, { from, to, scrape }) {
  const wanted = (to - from) / (panel.maxDataPoints ?? Math.max(Math.round(width), 100));
  const nearest = STEPS.reduce((best, step) => (Math.abs(step - wanted) < Math.abs(best - wanted) ? step : best));
  return Math.max(nearest, scrape, panel.interval ? seconds(panel.interval) : 0);
}

const seconds = (text) => Number.parseInt(text, 10) * { s: 1, m: 60, h: 3600 }[text.at(-1)];

// Replaces variables; `values` has text for each.
export function interpolated(text, values) {
  return text.replace(/\$\{(\w+)[^}]*\}|\$(\w+)/g, (all, inBraces, plain) => values[inBraces ?? plain] ?? all);
}

export function builtIn(step, { from, to, scrape }) {
  const rate = Math.max(step + scrape, 4 * scrape);
  return { __interval: `${step}s`, __rate_interval: `${rate}s`, __range: `${to - from}s`, __range_s: to - from };
}

async function api(path, parameters) {
  const response = await fetch(`/api/v1/${path}`, { method: 'POST', body: new URLSearchParams(parameters) });
  const { status, data, error } = await response.json();
  if (status !== 'success') throw new Error(error);
  return data;
}

// The values of every variable, each as the text for queries; those that are chosen, all, or the first.
export async function variables(dashboard, chosen, { from, to }) {
  const values = {};
  for (const { name, type, query, allValue } of dashboard.templating.list) {
    if (type !== 'query') continue;
    const [, selector, label] = /^label_values\((.*), (\w+)\)$/.exec(query.query);
    const matching = new URLSearchParams({ 'match[]': interpolated(selector, values), start: from, end: to });
    const response = await fetch(`/api/v1/label/${label}/values?${matching}`);
    values[name] = chosen[name] ?? allValue ?? (await response.json()).data[0] ?? '';
  }
  return values;
}

// The frames of all queries of a panel.
export async function query(panel, values, step, range) {
  const tables = panel.targets.filter((target) => target.format === 'table').length;
  const frames = panel.targets.map(async (target) => {
    const expression = interpolated(target.expr, { ...builtIn(step, range), ...values });
    const series = await ask(target, expression, step, range);
    if (target.format === 'table') return tableFrames(target, series, tables > 1);
    return target.format === 'heatmap' ? heatmapFrames(series, step) : seriesFrames(target, series, step);
  });
  return (await Promise.all(frames)).flat();
}

async function ask(target, expression, step, { from, to }) {
  if (target.instant) {
    const { result } = await api('query', { query: expression, time: to });
    return result.map(({ metric, value }) => ({ metric, values: [value] }));
  }
  const [start, end] = [Math.floor(from / step) * step, Math.ceil(to / step) * step];
  return (await api('query_range', { query: expression, start, end, step })).result;
}

const number = (text) => Number(text.replace('Inf', 'Infinity'));
const field = (name, type, values, more) => ({ name, type, values, config: {}, ...more });
const times = (values, step) => field('Time', FieldType.time, values.map(([at]) => at * 1000), { config: { interval: step * 1000 } });

function seriesFrames({ legendFormat, refId }, series, step) {
  const named = (metric) => legendFormat.replace(/\{\{(\w+)\}\}/g, (_, label) => metric[label] ?? '').trim();
  return series.map(({ metric, values }) => {
    const config = legendFormat === '__auto' ? {} : { displayNameFromDS: named(metric) };
    const numbers = values.map(([, text]) => number(text));
    return { refId, length: values.length, fields: [times(values, step), field('Value', FieldType.number, numbers, { labels: metric, config })] };
  });
}

function tableFrames({ refId }, series, isOneOfSeveral) {
  if (!series.length) return [];
  const labels = [...new Set(series.flatMap(({ metric }) => Object.keys(metric)))].sort();
  const columns = labels.map((label) => field(label, FieldType.string, series.map(({ metric }) => metric[label] ?? ''), { config: { filterable: true } }));
  const values = field(isOneOfSeveral ? `Value #${refId}` : 'Value', FieldType.number, series.map(({ values: [[, text]] }) => number(text)));
  return [{ refId, length: series.length, fields: [times(series.map(({ values: [value] }) => value), 0), ...columns, values] }];
}

// One field for each bucket, with the count of this bucket only.
function heatmapFrames(series, step) {
  const buckets = series.filter(({ metric }) => metric.le).sort((a, b) => number(a.metric.le) - number(b.metric.le));
  if (!buckets.length) return [];
  const at = [...new Set(buckets.flatMap(({ values }) => values.map(([time]) => time)))].sort((a, b) => a - b);
  let below = new Map();
  const fields = buckets.map(({ metric, values }) => {
    const cumulative = new Map(values.map(([time, text]) => [time, number(text)]));
    const counts = at.map((time) => (cumulative.get(time) ?? 0) - (below.get(time) ?? 0));
    below = cumulative;
    return field(metric.le, FieldType.number, counts);
  });
  return [{ length: at.length, fields: [times(at.map((time) => [time]), step), ...fields] }];
}

// The standard options of fields and the transformations, which an application has to register.
const always = () => true;
const option = (id, process = (value) => value) => ({ id, path: id, name: id, process, shouldApply: always, override: () => null, editor: () => null });
const STANDARD = ['unit', 'decimals', 'min', 'max', 'displayName', 'noValue', 'color', 'thresholds', 'mappings', 'filterable'].map((id) => option(id));
STANDARD.push(option('links', dataLinksOverrideProcessor));
standardTransformersRegistry.setInit(() => {
  const known = new Map(Object.values(standardTransformers).map((one) => [one.id, one]));
  return [...known.values()].map(({ id, name, defaultOptions, ...rest }) => ({
    id, name, defaultOptions, editor: () => null, imageDark: '', imageLight: '',
    transformation: () => Promise.resolve({ id, name, defaultOptions, ...rest }),
  }));
});

// The frames after the transformations and with the field configuration of a panel.
export async function shown(frames, panel, theme, values) {
  const replaceVariables = (text) => interpolated(text, values);
  const steps = panel.transformations ?? [];
  const transformed = steps.length && frames.length ? await lastValueFrom(transformDataFrame(steps, frames, { interpolate: replaceVariables })) : frames;
  const { defaults, overrides } = structuredClone(panel.fieldConfig);
  const changed = overrides.flatMap(({ properties }) => properties.map(({ id }) => id)).filter((id) => id.startsWith('custom.'));
  const custom = [...new Set([...Object.keys(defaults.custom ?? {}), ...changed.map((id) => id.slice('custom.'.length))])];
  const items = [...STANDARD, ...custom.map((path) => ({ ...option(`custom.${path}`), path, isCustom: true }))];
  const fieldConfigRegistry = new FieldConfigOptionsRegistry(() => items);
  const configured = applyFieldOverrides({ data: transformed, fieldConfig: { defaults, overrides }, fieldConfigRegistry, replaceVariables, theme, timeZone: 'utc' });
  cacheFieldDisplayNames(configured);
  return configured;
}
