"""The modes of the program: named here, where nothing slow is imported."""

ORDER = ('prepare', 'train', 'evaluate', 'report')  # what 'all' does
PIPELINE = ('all', *ORDER, 'tune_text', 'sweep', 'ablate', 'fit_population')
GALLERY = ('enroll', 'search', 'identify', 'verify', 'delete', 'sync', 'serve')
ALL = (*PIPELINE, 'check', 'pack', 'protocol', 'export', *GALLERY)
