// Grafana's published types, adapted to dashboards in JSON: enums are strings, panels have the options of their type, and
// queries are for Prometheus, whose type is not published.

import type * as dashboard from '../node_modules/@grafana/schema/dist/types/raw/dashboard/x/types.gen';
import type * as barchart from '../node_modules/@grafana/schema/dist/types/raw/composable/barchart/panelcfg/x/types.gen';
import type * as bargauge from '../node_modules/@grafana/schema/dist/types/raw/composable/bargauge/panelcfg/x/types.gen';
import type * as heatmap from '../node_modules/@grafana/schema/dist/types/raw/composable/heatmap/panelcfg/x/types.gen';
import type * as stat from '../node_modules/@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/types.gen';
import type * as statetimeline from '../node_modules/@grafana/schema/dist/types/raw/composable/statetimeline/panelcfg/x/types.gen';
import type * as statushistory from '../node_modules/@grafana/schema/dist/types/raw/composable/statushistory/panelcfg/x/types.gen';
import type * as table from '../node_modules/@grafana/schema/dist/types/raw/composable/table/panelcfg/x/types.gen';
import type * as timeseries from '../node_modules/@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/types.gen';

type Plain<T> = unknown extends T ? T
  : T extends string ? `${T}`
  : T extends number | boolean | null | undefined ? T
  : T extends Array<infer Item> ? Array<Plain<Item>>
  : { [Key in keyof T]: Plain<T[Key]> };

type Query = {
  datasource: dashboard.DataSourceRef;
  editorMode: 'code' | 'builder';
  expr: string;
  format: 'time_series' | 'table' | 'heatmap';
  instant: boolean;
  legendFormat?: string;
  range: boolean;
  refId: string;
};
type Link = { targetBlank: boolean; title: string; url: string };
type Field<Custom> = Omit<Plain<dashboard.FieldConfig>, 'custom' | 'links'> & { custom?: Plain<Custom>; links?: Link[] };
type Panel<Type, Options, Custom> = Omit<Plain<dashboard.Panel>, 'type' | 'options' | 'fieldConfig' | 'targets'> & {
  type: Type;
  options: Plain<Options>;
  fieldConfig: { defaults: Field<Custom>; overrides: Plain<dashboard.FieldConfigSource['overrides']> };
  targets: Query[];
};
// Grafana before 12.1 has the pager of a table in its footer.
type Table = table.Options & { footer: { enablePagination: boolean; reducer: string[]; show: boolean } };
type AnyPanel =
  | Panel<'barchart', barchart.Options, barchart.FieldConfig>
  | Panel<'bargauge', bargauge.Options, {}>
  | Panel<'heatmap', heatmap.Options, heatmap.FieldConfig>
  | Panel<'stat', stat.Options, {}>
  | Panel<'state-timeline', statetimeline.Options, statetimeline.FieldConfig>
  | Panel<'status-history', statushistory.Options, statushistory.FieldConfig>
  | Panel<'table', Table, table.FieldConfig>
  | Panel<'timeseries', timeseries.Options, timeseries.FieldConfig>;
type Row = Omit<Plain<dashboard.RowPanel>, 'panels'> & { panels: AnyPanel[] };
// Annotations of Prometheus and filters by labels, whose types are not published.
type Annotation = Plain<dashboard.AnnotationQuery> & {
  expr?: string;
  step?: string;
  tagKeys?: string;
  textFormat?: string;
  titleFormat?: string;
  useValueForTime?: boolean;
};
type Variable = Plain<dashboard.VariableModel> & { baseFilters?: []; filters?: [] };
export type Dashboard = Omit<Plain<dashboard.Dashboard>, 'annotations' | 'panels' | 'templating'> & {
  annotations: { list: Annotation[] };
  panels: Array<AnyPanel | Row>;
  templating: { list: Variable[] };
};
