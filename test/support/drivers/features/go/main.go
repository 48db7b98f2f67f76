// Programs that use pgx and lib/pq as their users do: one function for each column of the table of drivers.
// They connect by libpq's environment variables and print a line of JSON for each case.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"time"
)

type testCase struct {
	name string
	run  func() (any, error)
}

func version(path string) string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == path {
			return module.Version[1:]
		}
	}
	return "unknown"
}

func report(name string, result any, err error) {
	line := map[string]any{"case": name, "result": result}
	if err != nil {
		line = map[string]any{"case": name, "error": err.Error()}
	}
	text, _ := json.Marshal(line)
	fmt.Println(string(text))
}

const patience = 20 * time.Second

func run(one testCase) {
	done := make(chan func(), 1)
	go func() {
		defer func() {
			if failed := recover(); failed != nil {
				done <- func() { report(one.name, nil, fmt.Errorf("%v", failed)) }
			}
		}()
		result, err := one.run()
		done <- func() { report(one.name, result, err) }
	}()
	select {
	case tell := <-done:
		tell()
	case <-time.After(patience):
		report(one.name, nil, fmt.Errorf("took longer than %v", patience))
	}
}

// must is for steps of a case that have to succeed.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	cases, path := pgxCases, "github.com/jackc/pgx/v5"
	if os.Args[1] == "libpq" {
		cases, path = pqCases, "github.com/lib/pq"
	}
	report("version", version(path), nil)
	for _, one := range cases {
		run(one)
	}
}
