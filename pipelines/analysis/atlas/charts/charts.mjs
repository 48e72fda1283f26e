import { use } from "echarts/core";
import { BarChart, LineChart, ScatterChart } from "echarts/charts";
import { DataZoomInsideComponent, GridComponent, MarkLineComponent, TooltipComponent } from "echarts/components";
import { LabelLayout } from "echarts/features";
import { CanvasRenderer } from "echarts/renderers";

use([BarChart, LineChart, ScatterChart]);
use([DataZoomInsideComponent, GridComponent, MarkLineComponent, TooltipComponent, LabelLayout, CanvasRenderer]);

export { getInstanceByDom, init } from "echarts/core";
