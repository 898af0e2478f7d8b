package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// none is the budget of a figure that must be zero.
const none = -1

// figure is one measured value.
type figure struct {
	Name string `json:"name"`
	Unit string `json:"unit,omitempty"`
	// Value is the measured value, or the median of several.
	Value   float64   `json:"value"`
	Samples []float64 `json:"samples,omitempty"`
	// Budget is the limit of Value; 0 means no limit.
	Budget float64 `json:"budget,omitempty"`
}

// of returns the figure for several measurements.
func of(name, unit string, samples []float64) figure {
	return figure{Name: name, Unit: unit, Value: median(samples), Samples: samples}
}

// within returns the figure with its budget.
func (f figure) within(budget float64) figure {
	f.Budget = budget
	return f
}

// verdict compares a figure with its budget.
func (f figure) verdict() (budget, verdict string) {
	limit := max(f.Budget, 0)
	switch {
	case f.Budget == 0:
		return "", ""
	case f.Value <= limit:
		return quantity(limit, f.Unit), "held"
	}
	return quantity(limit, f.Unit), "exceeded"
}

func quantity(value float64, unit string) string {
	text := fmt.Sprintf("%.4g", value)
	if unit != "" {
		text += " " + unit
	}
	return text
}

// table formats figures as a Markdown table.
func table(figures []figure) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 1, ' ', tabwriter.Debug)
	fmt.Fprintln(w, "| What\t Measured\t Range\t Budget\t |")
	fmt.Fprintln(w, "|---\t---\t---\t---\t---|")
	for _, f := range figures {
		budget, verdict := f.verdict()
		fmt.Fprintf(w, "| %s\t %s\t %s\t %s\t %s|\n", f.Name, quantity(f.Value, f.Unit), f.spread(), budget, verdict)
	}
	if err := w.Flush(); err != nil {
		return err.Error()
	}
	return text.String()
}

// spread returns the smallest and the largest of several measurements.
func (f figure) spread() string {
	if len(f.Samples) < 2 {
		return ""
	}
	least, most := f.Samples[0], f.Samples[0]
	for _, s := range f.Samples {
		least, most = min(least, s), max(most, s)
	}
	return fmt.Sprintf("%.4g to %.4g (%d)", least, most, len(f.Samples))
}

// median returns the median of a non-empty list.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// each returns one number for every item.
func each[T any](items []T, number func(T) float64) []float64 {
	numbers := make([]float64, len(items))
	for i, item := range items {
		numbers[i] = number(item)
	}
	return numbers
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
