package hostile

// Elsewhere lists attacks by process plugins and by what surrounds plugins, each with the test that proves what becomes of
// it; they need a program or a host of their own and are not repeated here. The name of a test is looked for by the tests
// of this package.
func Elsewhere() map[string]string {
	return map[string]string{
		"a process that breaks the contract":                       "host/internal/process/hostile_test.go TestBrokenContractIsAFault",
		"a process that answers oddly":                             "host/internal/process/hostile_test.go TestOddAnswersAreRead",
		"an answer of 256 MiB":                                     "host/internal/process/hostile_test.go TestGiantAnswerDoesNotGrowTheHost",
		"a service that is asked after the attempt":                "host/internal/process/hostile_test.go TestServiceCallsEndWithTheAttempt",
		"a call_id that is kept for another attempt":               "host/internal/process/hostile_test.go TestCallIDDiesWithItsAttempt",
		"a second connection to the services":                      "host/internal/process/hostile_test.go TestServicesTakeOneConnection",
		"listeners that are announced for ever":                    "host/internal/process/hostile_test.go TestAnnouncementsOfListenersAreDropped",
		"a process that ends, or is killed, in a call":             "host/internal/process/life_test.go TestEndOfProcessIsACrash",
		"a process that ignores the stop":                          "host/internal/process/life_test.go TestFunctionThatIgnoresTheStopIsKilledAfterItsGrace",
		"children that outlive their parent":                       "host/internal/process/life_test.go TestKillReachesChildren",
		"a process that looks for the host's environment":          "host/internal/process/life_test.go TestEnvironmentHoldsOnlyWhatIsGranted",
		"a process that panics":                                    "host/internal/process/life_test.go TestPanicIsItsOwnReasonAndTheProcessIsReplaced",
		"a program that is no plugin, says nothing, says too much": "host/internal/process/load_test.go TestLoadRefusesWhatIsNoPlugin",
		"a file that is exchanged while it is checked":             "host/internal/process/load_test.go TestExchangedFileIsNeverExecuted",
		"a process whose host is killed":                           "host/internal/process/doomed_test.go TestPluginDiesWithAHostThatIsKilled",
		"processes that a killed host left behind":                 "host/internal/process/doomed_test.go TestNextHostKillsWhatPluginsOfAKilledHostLeft",
		"a mount with links that lead out, pipes and devices":      "host/internal/wasm/files_test.go TestFilesAndAmbience",
		"a damaged cache of compiled modules":                      "host/internal/wasm/call_test.go TestCacheHeals",
		"a guest that stops the collector":                         "host/internal/wasm/stop_test.go TestSpinningGuestsLetTheCollectorWork",
	}
}
