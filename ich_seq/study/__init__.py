"""One patient: a study read, scored and put into a StudyResult."""
