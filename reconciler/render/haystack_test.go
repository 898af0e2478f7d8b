package render

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// What is found does not depend on how many are looked for.
func TestAnIndexFindsWhatASearchFinds(t *testing.T) {
	texts := []string{"pin 1234!", "x1234x", "", "é1234", "1234é 12345", "äb", "an oral password", "hunter2", "hunter2hunter2"}
	words := []string{"1", "12", "1234", "12345", "é", "b", "password", "oral pass", "hunter2", "hunter2h", "!1", "2h"}
	for at := range texts {
		agree(t, texts[at:], words)
	}
	agree(t, []string{strings.Repeat("x", pile), "behind the first pile: hunter2"}, words)
}

// FuzzHaystack: see TestAnIndexFindsWhatASearchFinds.
func FuzzHaystack(f *testing.F) {
	f.Add("pin 1234! x1234x é1234", "1234")
	f.Add("aaaaaaaaaaaaaaab", "aaaaaaaab")
	f.Fuzz(func(t *testing.T, text, word string) {
		if word != "" {
			agree(t, strings.Split(text, " "), []string{word})
		}
	})
}

func agree(t *testing.T, texts, words []string) {
	t.Helper()
	searched := slices.Collect(haystacks(texts, 1))
	for i, h := range slices.Collect(haystacks(texts, indexed+1)) {
		if h.index == nil || searched[i].index != nil || h.text != searched[i].text {
			t.Fatal("the haystacks are not of the two kinds, or of different texts")
		}
		for _, word := range words {
			if h.has(word) != searched[i].has(word) || h.exposes(word) != searched[i].exposes(word) {
				t.Errorf("%q in %.100q: has %t and %t, exposes %t and %t", word, h.text,
					h.has(word), searched[i].has(word), h.exposes(word), searched[i].exposes(word))
			}
		}
	}
}

// BenchmarkExposure: four times as many decrypted values beside four times as much plain text take about four times as
// long, alike as they may be. Searching for each by itself takes sixteen times as long.
func BenchmarkExposure(b *testing.B) {
	for _, n := range []int{2_000, 8_000, 32_000} {
		var values, texts []string
		for i := range n {
			values = append(values, fmt.Sprintf("%s%08d", strings.Repeat("a", 40), i))
			texts = append(texts, strings.Repeat("a", 60)+fmt.Sprint(i))
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				e := &exposure{plain: texts}
				e.decrypted([]byte("whole"), values)
				e.settle()
				if leaks := e.leaks(texts); len(e.secrets) != n+1 || len(leaks) > 0 {
					b.Fatal(len(e.secrets), leaks)
				}
			}
		})
	}
}
