package insight_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/allcores/allcores/internal/jobs/insight"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// A job of 100 tasks of 0.19 s ran for 10 s on two lanes.
func ExampleReportFacts_Report() {
	lanes, durations := insight.NewLaneTimes(10*time.Second), insight.NewDurations()
	for lane := range 2 {
		lanes.Add(insight.ChunkTime{
			Lane: lane, First: int64(lane) * 50, Count: 50, Finished: 10 * time.Second,
			Tasks: 9500 * time.Millisecond, User: 9 * time.Second,
		})
	}
	took := binary.LittleEndian.AppendUint16(nil, outcomes.EncodeDuration(190*time.Millisecond))
	durations.Add(0, bytes.Repeat(took, 100))

	report := insight.ReportFacts{
		Ended: true, Wall: 10 * time.Second, Total: 100, Threads: 1, Cores: 2, Lanes: lanes, Durations: durations,
	}.Report()
	fmt.Printf("speed-up %.1f, efficiency %.2f\n", report.SpeedUp, report.Efficiency)
	fmt.Println(report.Verdict.Kind)
	// Output:
	// speed-up 1.9, efficiency 0.95
	// well_spread
}
