// The page of a dashboard: its variables, rows and panels. `window.panels` reports the state of each panel.

import '@fontsource/inter/400.css';
import '@fontsource/inter/500.css';
import { Component, useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { createTheme, dateTime, EventBusSrv, ThemeContext } from '@grafana/data';
import { initPluginTranslations } from '@grafana/i18n';
import { GlobalStyles, PanelChrome, PanelContextProvider, PortalContainer } from '@grafana/ui';
import { query, shown, stepOf, variables } from './data.js';
import { KINDS } from './panels.jsx';

const { dashboard, theme: mode, chosen, range, open, width } = window.settings;
const theme = createTheme({ colors: { mode } });
const [from, to] = [dateTime(range.from * 1000), dateTime(range.to * 1000)];
const timeRange = { from, to, raw: { from, to } };

// Lines and columns of Grafana's grid, in pixels.
const [LINE, GAP, MARGIN, COLUMNS] = [30, 8, 16, 24];
const COLUMN = (width - 2 * MARGIN - (COLUMNS - 1) * GAP) / COLUMNS;

class Caught extends Component {
  state = {};

  static getDerivedStateFromError(error) { return { error }; }

  componentDidCatch(error) { Object.assign(this.props.report, { state: 'broken', why: String(error) }); }

  render() { return this.state.error ? String(this.state.error) : this.props.children; }
}

async function load(panel, values, room) {
  const step = stepOf(panel, room, range);
  return shown(await query(panel, values, step, range), panel, theme, values);
}

const isEmpty = (frames) => !frames.some(({ length }) => length > 0);

function Panel({ panel, values, box, report }) {
  const [loaded, setLoaded] = useState();
  useEffect(() => { load(panel, values, box.width).then((frames) => setLoaded({ frames }), (error) => setLoaded({ error })); }, []);
  useEffect(() => {
    if (loaded && !report.state) Object.assign(report, loaded.error ? { state: 'broken', why: String(loaded.error) } : { state: isEmpty(loaded.frames) ? 'empty' : 'drawn' });
  }, [loaded]);
  const Kind = KINDS[panel.type];
  const none = panel.fieldConfig.defaults.noValue;
  return (
    <PanelChrome title={panel.title} description={panel.description} width={box.width} height={box.height}>
      {(innerWidth, innerHeight) => {
        if (!loaded) return null;
        if (loaded.error || (isEmpty(loaded.frames) && panel.type !== 'stat')) return <div className="none">{loaded.error ? String(loaded.error) : none}</div>;
        return <Caught report={report}><Kind panel={panel} frames={loaded.frames} theme={theme} timeRange={timeRange} width={innerWidth} height={innerHeight} /></Caught>;
      }}
    </PanelChrome>
  );
}

// All panels to draw with their final lines; an opened row moves everything below it.
function placed() {
  const all = [];
  let moved = 0;
  for (const panel of dashboard.panels) {
    all.push(at(panel, moved));
    const inside = open && panel.panels?.length ? panel.panels : [];
    all.push(...inside.map((one) => at(one, moved)));
    moved += Math.max(0, ...inside.map(({ gridPos: { y, h } }) => y + h - panel.gridPos.y - 1));
  }
  return all;
}

const at = (panel, moved) => ({ ...panel, gridPos: { ...panel.gridPos, y: panel.gridPos.y + moved } });

function boxOf({ x, y, w, h }) {
  return { left: x * (COLUMN + GAP), top: y * (LINE + GAP), width: w * (COLUMN + GAP) - GAP, height: h * (LINE + GAP) - GAP };
}

function Row({ panel }) {
  return <div className="row">{open || !panel.collapsed ? '⌄' : '›'} {panel.title}{!open && panel.collapsed && <span> ({panel.panels.length} {panel.panels.length > 1 ? 'panels' : 'panel'})</span>}</div>;
}

function Page({ values }) {
  const panels = placed();
  const lines = Math.max(...panels.map(({ gridPos: { y, h } }) => y + h));
  return (
    <div style={{ width, padding: MARGIN }}>
      <div className="bar"><b>{dashboard.title}</b></div>
      <div className="bar">
        {dashboard.templating.list.filter(({ hide }) => !hide).map(({ name, label, allValue }) => (
          <span key={name} className="variable"><label>{label}</label><span>{values[name] === allValue ? 'All' : values[name]} ▾</span></span>
        ))}
      </div>
      <div style={{ position: 'relative', height: lines * (LINE + GAP) }}>
        {panels.map((panel) => {
          const box = boxOf(panel.gridPos);
          return (
            <div key={panel.id} style={{ position: 'absolute', ...box }}>
              {panel.type === 'row' ? <Row panel={panel} /> : <Panel panel={panel} values={values} box={box} report={reports.get(panel.id)} />}
            </div>
          );
        })}
      </div>
    </div>
  );
}

const STYLE = `body { background: ${theme.colors.background.canvas}; margin: 0 }
.none { display: flex; align-items: center; justify-content: center; height: 100%; color: ${theme.colors.text.secondary} }
.row { font-size: ${theme.typography.h5.fontSize}; font-weight: 500 } .row span { color: ${theme.colors.text.secondary}; font-weight: 400 }
.bar { display: flex; gap: 12px; margin-bottom: 12px } .variable > * { padding: 4px 8px; border: 1px solid ${theme.colors.border.medium}; font-size: 12px }`;

const reports = new Map(placed().filter(({ type }) => type !== 'row').map(({ id, title }) => [id, { title }]));
await initPluginTranslations('draw');
const selected = { datasource: 'Prometheus', filters: '', ...(await variables(dashboard, chosen, range)) };
createRoot(document.getElementById('root')).render(
  <ThemeContext.Provider value={theme}>
    <GlobalStyles isExtensionSidebarOpen={false} />
    <style>{STYLE}</style>
    <PortalContainer />
    <PanelContextProvider value={{ eventsScope: 'global', eventBus: new EventBusSrv(), onToggleSeriesVisibility() {} }}>
      <Page values={selected} />
    </PanelContextProvider>
  </ThemeContext.Provider>,
);
window.panels = [...reports.values()];
