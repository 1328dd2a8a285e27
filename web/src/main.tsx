/** The web interface begins here: the token becomes a cookie, then the wizard is drawn. */
import '@mantine/core/styles.css';
import './app.css';
import { MantineProvider } from '@mantine/core';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { createRoot } from 'react-dom/client';
import { App } from './app.tsx';
import { login } from './lib/api.ts';
import { theme, variables } from './theme.ts';

const client = new QueryClient({ defaultOptions: { queries: { retry: 1, refetchOnWindowFocus: false } } });
const nonce = document.querySelector('meta[name=style-nonce]')?.getAttribute('content') ?? '';

await login().catch(() => undefined);
createRoot(document.querySelector('#root')!).render(
  <QueryClientProvider client={client}>
    <MantineProvider
      theme={theme}
      defaultColorScheme="auto"
      cssVariablesResolver={variables}
      getStyleNonce={() => nonce}
    >
      <App />
    </MantineProvider>
  </QueryClientProvider>,
);
