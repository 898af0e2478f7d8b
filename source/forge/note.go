package forge

import (
	"context"
	"strings"
)

// PutNote edits the note with an id in a merge request, and returns its id. If the id is 0, or that note is gone or
// belongs to the user of an earlier token, it edits the first note whose body begins with the marker. If there is none, it creates one. Only in these cases it lists notes.
func (c *Client) PutNote(ctx context.Context, mergeRequest, id int64, marker, body string) (int64, error) {
	if id != 0 {
		err := c.editNote(ctx, mergeRequest, id, body)
		if err == nil || ReasonOf(err) != NotFound && ReasonOf(err) != Forbidden {
			return id, err
		}
	}
	marked, err := c.marked(ctx, mergeRequest, marker)
	if err != nil {
		return 0, err
	}
	for _, note := range marked {
		if note.ID == id {
			continue
		}
		if note.Body == body {
			return note.ID, nil
		}
		switch err := c.editNote(ctx, mergeRequest, note.ID, body); {
		case err == nil:
			return note.ID, nil
		case ReasonOf(err) != NotFound && ReasonOf(err) != Forbidden: // a copy that another user wrote
			return 0, err
		}
	}
	return c.createNote(ctx, mergeRequest, body)
}

// marked returns the notes whose body begins with a marker, the oldest first.
func (c *Client) marked(ctx context.Context, mergeRequest int64, marker string) ([]Note, error) {
	var found []Note
	for page := 1; page <= maxPages; page++ {
		list, more, err := c.notes(ctx, mergeRequest, page)
		if err != nil {
			return nil, err
		}
		for _, note := range list {
			if strings.HasPrefix(note.Body, marker) {
				found = append(found, note)
			}
		}
		if !more {
			break
		}
	}
	return found, nil
}
