// Panels: those that Grafana's packages draw, and the others as plain SVG with exact data and approximate appearance.

import { dateTimeFormat, FieldType, formattedValueToString, getDisplayValueAlignmentFactors, getFieldDisplayName, getFieldDisplayValues, VizOrientation } from '@grafana/data';
import { BarGauge, BigValue, TimeSeries, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';

const isNumber = ({ type }) => type === FieldType.number;

// Repeats a component for each value, like Grafana's panels of single values.
function Values({ panel, frames, theme, width, height, values, minVizHeight, maxVizHeight, itemSpacing, children }) {
  const { reduceOptions, orientation } = panel.options;
  const found = getFieldDisplayValues({ data: frames, fieldConfig: panel.fieldConfig, reduceOptions, theme, timeZone: 'utc', replaceVariables: (text) => text });
  return (
    <VizRepeater
      getValues={() => found} getAlignmentFactors={getDisplayValueAlignmentFactors} source={found} renderCounter={0} autoGrid
      width={width} height={height} itemSpacing={itemSpacing} minVizHeight={minVizHeight} maxVizHeight={maxVizHeight}
      orientation={orientation === 'horizontal' ? VizOrientation.Horizontal : VizOrientation.Auto} renderValue={children}
    />
  );
}

function Stat(props) {
  const { colorMode, graphMode, justifyMode, textMode, text, wideLayout } = props.panel.options;
  return (
    <Values {...props} itemSpacing={3}>
      {({ value, alignmentFactors, width, height, count }) => (
        <BigValue
          value={value.display} count={count} colorMode={colorMode} graphMode={graphMode} justifyMode={justifyMode} textMode={textMode} text={text}
          alignmentFactors={alignmentFactors} width={width} height={height} theme={props.theme} disableWideLayout={!wideLayout}
        />
      )}
    </Values>
  );
}

function Bars(props) {
  const { displayMode, minVizHeight, maxVizHeight, namePlacement, showUnfilled, text, valueMode } = props.panel.options;
  return (
    <Values {...props} itemSpacing={10} minVizHeight={minVizHeight} maxVizHeight={maxVizHeight}>
      {({ value, alignmentFactors, orientation, width, height }) => (
        <BarGauge
          value={value.display} field={value.field} display={value.view?.getFieldDisplayProcessor(value.colIndex)} text={text} width={width} height={height}
          orientation={orientation} theme={props.theme} itemSpacing={10} lcdCellWidth={8} displayMode={displayMode} alignmentFactors={alignmentFactors}
          showUnfilled={showUnfilled} valueDisplayMode={valueMode} namePlacement={namePlacement}
        />
      )}
    </Values>
  );
}

function Graph({ panel, frames, width, height, timeRange }) {
  return <TimeSeries frames={frames} structureRev={1} timeRange={timeRange} timeZone="utc" width={width} height={height} legend={panel.options.legend} options={panel.options} />;
}

function Table({ panel, frames, width, height, timeRange }) {
  const { cellHeight, enablePagination, showHeader, sortBy } = panel.options;
  return (
    <TableNG
      data={frames[0]} width={width} height={height} noHeader={!showHeader} sortBy={sortBy} cellHeight={cellHeight} enablePagination={enablePagination}
      timeRange={timeRange} fieldConfig={panel.fieldConfig} structureRev={1} resizable
    />
  );
}

const FONT = { fontFamily: 'Inter', fontSize: 12 };
const AXIS = 20;

function Text({ theme, anchor = 'middle', ...place }) {
  return <text textAnchor={anchor} fill={theme.colors.text.primary} {...FONT} {...place} />;
}

// The pixels of a time in a plot that begins at `left`.
function scaleOf({ timeRange, width }, left) {
  const [from, to] = [timeRange.from.valueOf(), timeRange.to.valueOf()];
  return { from, to, x: (time) => left + ((Math.min(Math.max(time, from), to) - from) / (to - from)) * (width - left - 8) };
}

function TimeAxis({ scale: { from, to, x }, y, theme }) {
  const ticks = Array.from({ length: 7 }, (_, i) => from + ((i + 0.5) / 7) * (to - from));
  return ticks.map((time) => <Text key={time} theme={theme} x={x(time)} y={y}>{dateTimeFormat(time, { format: 'HH:mm', timeZone: 'utc' })}</Text>);
}

// A lane for each series, with a box for each value; equal neighbours become one box if `merge`.
function Lanes({ merge, ...props }) {
  const { panel, frames, theme, height } = props;
  const lanes = frames.slice(0, panel.options.perPage).map((frame) => {
    const field = frame.fields.find(isNumber);
    return { name: getFieldDisplayName(field, frame, frames), boxes: boxesOf(frame, field, merge) };
  });
  const left = Math.min(Math.max(...lanes.map(({ name }) => name.length)) * 7 + 12, props.width * 0.4);
  const scale = scaleOf(props, left);
  const room = (height - AXIS) / lanes.length;
  return (
    <svg width={props.width} height={height}>
      {lanes.map(({ name, boxes }, lane) => [
        <Text key={name} theme={theme} anchor="end" x={left - 8} y={(lane + 0.5) * room + 4}>{name}</Text>,
        ...boxes.map(({ start, end, text, color }) => {
          const [x, width] = [scale.x(start), Math.max(scale.x(end) - scale.x(start) - 1, 0)];
          const shown = panel.options.showValue !== 'never' && width > 8 * text.length;
          return (
            <g key={`${name} ${start}`}>
              <rect x={x} y={(lane + 0.05) * room} width={width} height={room * 0.9} fill={color} fillOpacity={0.8} />
              {shown && <Text theme={theme} anchor="start" x={x + 4} y={(lane + 0.5) * room + 4}>{text}</Text>}
            </g>
          );
        }),
      ])}
      <TimeAxis scale={scale} y={height - 5} theme={theme} />
    </svg>
  );
}

function boxesOf({ fields: [time] }, field, merge) {
  const step = time.config.interval;
  const boxes = [];
  time.values.forEach((start, i) => {
    const { color, ...display } = field.display(field.values[i]);
    const [text, last] = [formattedValueToString(display), boxes.at(-1)];
    if (merge && last?.text === text && start - last.end < step) last.end = start + step;
    else boxes.push({ start, end: start + step, text, color });
  });
  return boxes;
}

function Heatmap(props) {
  const { panel, frames: [{ fields: [time, ...buckets] }], theme, height } = props;
  const left = 64;
  const scale = scaleOf(props, left);
  const room = (height - AXIS) / buckets.length;
  const most = Math.max(...buckets.flatMap(({ values }) => values));
  const step = time.config.interval;
  return (
    <svg width={props.width} height={height}>
      {buckets.map((bucket, i) => [
        <Text key={bucket.name} theme={theme} anchor="end" x={left - 6} y={height - AXIS - i * room - room / 2 + 4}>{bucketName(bucket)}</Text>,
        ...bucket.values.map((count, k) => count > panel.options.filterValues.le && (
          <rect
            key={`${bucket.name} ${time.values[k]}`} x={scale.x(time.values[k] - step)} y={height - AXIS - (i + 1) * room} height={Math.max(room - 1, 1)}
            width={Math.max(scale.x(time.values[k]) - scale.x(time.values[k] - step) - 1, 1)} fill={theme.visualization.getColorByName('orange')} fillOpacity={0.15 + 0.85 * (count / most) ** 0.5}
          />
        )),
      ])}
      <TimeAxis scale={scale} y={height - 5} theme={theme} />
    </svg>
  );
}

const bucketName = (bucket) => (bucket.name === '+Inf' ? bucket.name : formattedValueToString(bucket.display(Number(bucket.name))));

function BarChart({ panel, frames: [frame], theme, width, height }) {
  const names = frame.fields.find((field) => getFieldDisplayName(field, frame) === panel.options.xField);
  const counts = frame.fields.find(isNumber);
  const most = Math.max(...counts.values.filter(Number.isFinite), 1);
  const room = width / counts.values.length;
  const [top, bottom] = [panel.options.showValue === 'never' ? 0 : AXIS, height - AXIS];
  return (
    <svg width={width} height={height}>
      {counts.values.map((count, i) => {
        const y = bottom - ((bottom - top) * (count ?? 0)) / most;
        return (
          <g key={names.values[i]}>
            <rect x={i * room} width={room * 0.9} y={y} height={bottom - y} fill={counts.display(count).color} />
            {top > 0 && count != null && (
              <Text theme={theme} x={(i + 0.5) * room} y={y - 5}>{formattedValueToString(counts.display(count))}</Text>
            )}
            <Text theme={theme} x={(i + 0.5) * room} y={height - 5}>{names.values[i]}</Text>
          </g>
        );
      })}
    </svg>
  );
}

export const KINDS = {
  barchart: BarChart, bargauge: Bars, heatmap: Heatmap, stat: Stat, 'state-timeline': (props) => <Lanes {...props} merge />,
  'status-history': Lanes, table: Table, timeseries: Graph,
};
